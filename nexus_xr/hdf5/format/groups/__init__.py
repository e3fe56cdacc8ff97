"""Groups: the links that are in them, old and new."""
