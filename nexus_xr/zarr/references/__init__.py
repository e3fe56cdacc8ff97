"""Where the chunks of a hierarchy are in its files, for readers of Zarr that fetch them from there themselves."""
