"""Types of values: how their bytes are laid out."""
