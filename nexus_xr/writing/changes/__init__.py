"""Changes of files that are there: more of an array, a part of it, and what is new or different in a tree."""
