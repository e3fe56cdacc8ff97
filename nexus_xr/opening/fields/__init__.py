"""The fields of a group as arrays that stay in their file."""
