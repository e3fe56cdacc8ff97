"""What is done where nothing is asked for, by the names that it can be asked for by."""

from __future__ import annotations

# Filters as the source of the array has them.
KEEP = "keep"
