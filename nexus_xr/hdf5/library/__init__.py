"""Files as libhdf5 describes them: the way out for what `format` doesn't know, and what writing needs.

It goes through h5py's low-level interface: each object is opened once, datatypes are looked up by their encoding, and
nothing is read that isn't asked for. The objects live as long as the file is open.
"""
