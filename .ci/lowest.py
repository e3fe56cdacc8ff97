"""The lowest versions of what the package depends on that pyproject.toml allows, for pip."""

from __future__ import annotations

import tomllib

with open("pyproject.toml", "rb") as file:
    print(*(each.replace(">=", "==") for each in tomllib.load(file)["project"]["dependencies"]), sep="\n")
