"""From xarray's objects to a file: entries, a tree in place, regions, and what a cluster writes."""
