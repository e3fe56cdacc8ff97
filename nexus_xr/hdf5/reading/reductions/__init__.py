"""Sums, extremes and the like of arrays in files, block by block in each core's cache."""
