"""From a file to xarray's objects: what is asked for is found, described, assembled, and opened again."""
