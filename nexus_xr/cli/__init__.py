"""The command line: each command is a thin function over one of this package's, with words for a terminal."""
