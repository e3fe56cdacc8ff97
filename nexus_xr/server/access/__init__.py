"""Who may use the service: by the names under which they reach it, the pages that they come from, and a token."""
