"""The version of the package, for those who can't ask the package itself."""

__version__ = "0.1.0"
