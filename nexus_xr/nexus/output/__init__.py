"""The trees that are written: groups, fields and links, as NeXus and HyperSpy lay them out."""
