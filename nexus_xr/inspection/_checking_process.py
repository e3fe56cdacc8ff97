"""A process that checks a file for another: ``python -m`` it.

Questions come on the standard input, each a pickle behind its length; answers go to the standard output, lines of
JSON, the last of each question being ``["done"]``.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import sys
from typing import Any

from nexus_xr.inspection.checking import answer

LENGTH = struct.Struct("<Q")


def main() -> None:
    """Answer questions until there are no more."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some compression libraries print

    def say(content: list[Any]) -> None:
        answers.write(json.dumps(content).encode() + b"\n")

    while head := sys.stdin.buffer.read(LENGTH.size):
        where, runs = pickle.loads(sys.stdin.buffer.read(*LENGTH.unpack(head)))
        answer(where, runs, say)
        say(["done"])


if __name__ == "__main__":
    main()
