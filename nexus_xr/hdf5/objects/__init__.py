"""Groups, datasets, links and attributes of an open file, read through h5py's low-level interface.

A tree of thousands of fields is described in a fraction of the time that the high-level interface takes: each object is
opened once, datatypes are looked up by their encoding, and nothing is read that isn't asked for. The objects live as
long as the file is open; what is to outlive it is a plain value.
"""
