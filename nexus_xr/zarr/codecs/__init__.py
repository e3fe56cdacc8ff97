"""Zarr's codecs, as the stored chunks of HDF5 that they decode."""
