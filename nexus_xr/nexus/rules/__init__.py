"""What the NeXus manual says: which field is the signal, which are its axes, uncertainties and scaling."""
