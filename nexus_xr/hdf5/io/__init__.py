"""The bytes of a file: local, in a file object, behind a URL; and the file that travels by name."""
