"""HDF5 bytes: files that open when they are read from, their objects, and the values of a selection.

Nothing here knows NeXus or xarray.
"""
