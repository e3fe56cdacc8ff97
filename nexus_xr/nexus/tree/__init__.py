"""The metadata tree of a file, the walk that brings it, and what is found on the way."""
