"""Files behind URLs: in few, large requests."""
