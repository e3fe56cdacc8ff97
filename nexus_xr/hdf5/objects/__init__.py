"""Groups, datasets, links and attributes of an open file, as all those see them who read files.

Whoever describes files, from their bytes or through libhdf5, fills in what is abstract here. The objects live as long
as the file is open; what is to outlive it is a plain value.
"""
