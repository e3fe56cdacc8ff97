"""Where the chunks of a dataset are, in each kind of index."""
