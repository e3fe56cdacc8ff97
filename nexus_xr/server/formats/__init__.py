"""The forms in which values are sent, one a module, each block by block."""
