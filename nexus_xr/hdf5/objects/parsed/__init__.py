"""Objects described from the bytes of their file."""
