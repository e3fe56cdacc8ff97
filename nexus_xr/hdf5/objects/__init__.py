"""Groups, datasets, links and attributes of an open file as descriptions."""
