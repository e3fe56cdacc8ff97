"""The protocol of h5grove, which H5Web speaks: what an object is, its attributes, its values, and the paths below it.

Source: the answers of h5grove 4, beside which each of these is tested.
"""
