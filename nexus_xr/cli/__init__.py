"""The command line: each command is a thin function over one of this package's, with words for a terminal."""

import signal

# What shells give for a command that Ctrl-C has ended.
INTERRUPTED = 128 + signal.SIGINT
