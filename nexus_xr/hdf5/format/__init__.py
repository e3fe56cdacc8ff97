"""Structures of the HDF5 file format, from bytes to plain values."""
