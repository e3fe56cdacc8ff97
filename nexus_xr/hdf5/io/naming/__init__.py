"""Which files are meant by a name, and whether they may be read."""
