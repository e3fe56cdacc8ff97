"""NeXus on top of HDF5: the data rules, the metadata tree, and finding the data of a file.

Nothing here knows xarray: a group becomes a plain description, a tree becomes nested dictionaries.
"""
