"""Forms in which arrays and their metadata travel to other formats and back: netCDF, Zarr, JSON, CSV."""
