"""The pages of the documentation, and the code in them.

A page's Python blocks are one program: they run in their order, in one namespace. A block of a console session is
compared with what it prints. What only prepares that program stands in comments, which no reader sees.
"""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .files import Field, nxdata, nxentry, write_tree

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^ *(`{3,}) *(\S*)[^\n]*\n(.*?)^ *\1 *$", re.MULTILINE | re.DOTALL)
_OUTPUT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# What a page may use without further ado, besides commands that are called as the package that brings them.
_KNOWN_COMMANDS = {"cd", "curl", "eval", "export", "git"}


def write_scan(path: str, points: int = 24, frame: tuple[int, int] = (32, 48)) -> None:
    """The file that most pages speak of: a stack of frames with axes, a map with uncertainties, an instrument."""
    rng = np.random.default_rng(3)
    frames = rng.poisson(5, (points, *frame)).astype("u2")
    total = frames.sum(axis=(1, 2), dtype="f8")
    axes = {
        "frame": Field(np.arange(points) * 0.5, {"units": "s"}),
        "y": Field(np.arange(frame[0]) * 0.075, {"units": "mm"}),
        "x": Field(np.arange(frame[1]) * 0.075, {"units": "mm"}),
    }
    stored = {"chunks": (1, *frame), "compression": "gzip", "shuffle": True}
    counts = Field(frames, {"units": "counts", "interpretation": "image"}, **stored)
    stack = nxdata({"counts": counts, **axes}, signal="counts", axes=list(axes))
    summed = {"total": total, "total_errors": np.sqrt(total), "frame": axes["frame"]}
    detector = {"@NX_class": "NXdetector", "distance": Field(0.215, {"units": "m"}), "mask": np.zeros(frame, "u1")}
    instrument = {"@NX_class": "NXinstrument", "detector": detector}
    members = {"detector": stack, "map": nxdata(summed, signal="total", axes=["frame"]), "instrument": instrument}
    entry = nxentry({**members, "title": "a scan"}, default="detector")
    write_tree(Path(path), {"@default": "entry", "entry": entry})


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int


def pages() -> list[Path]:
    """The README, and every page that is written by hand."""
    written = (page for page in DOCS.rglob("*.md") if not page.relative_to(DOCS).parts[0].startswith("_"))
    return [ROOT / "README.md", *sorted(written)]


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """The blocks of a page that are in one of these languages."""
    text = page.read_text()
    for found in _FENCE.finditer(text):
        if found[2] in languages:
            yield Block(found[2], found[3], text.count("\n", 0, found.start(3)))


def run(page: Path) -> None:
    """Run the Python blocks of a page."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        if block.text.startswith(">>>"):
            _compare(block, page, namespace)
        else:
            code = ast.increment_lineno(ast.parse(block.text), block.line)
            exec(compile(code, str(page), "exec"), namespace)


def _compare(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    session = doctest.DocTestParser().get_doctest(block.text, namespace, page.name, str(page), block.line)
    session.globs = namespace  # itself, as what it defines is there in the blocks behind
    said: list[str] = []
    if doctest.DocTestRunner(optionflags=_OUTPUT).run(session, out=said.append, clear_globs=False).failed:
        raise AssertionError("".join(said))


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command line in a page."""
    for block in blocks(page, "sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def fault_of(words: list[str]) -> str | None:
    """What a command line names that isn't there."""
    command, *arguments = words
    if command == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        return next((f"no target {word}" for word in arguments if "=" not in word and word not in targets), None)
    if command == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = re.findall(r"\[([\w,]+)\]", " ".join(arguments))
        return next((f"no extra {name}" for name in ",".join(asked).split(",") if name and name not in extras), None)
    if command == "nexus-xr":
        return _fault_of_nexus_xr(arguments)
    if command == "python":
        return _fault_of_python(arguments)
    is_known = command in _KNOWN_COMMANDS or (ROOT / command).is_file() or importlib.util.find_spec(command)
    return None if is_known else f"no command {command}"


def _fault_of_nexus_xr(arguments: list[str]) -> str | None:
    folder = ROOT / "nexus_xr" / "cli"
    source = folder / f"{arguments[0]}.py"
    if not source.is_file():
        return f"no command nexus-xr {arguments[0]}"
    text = source.read_text() + (folder / "arguments.py").read_text()
    options = [word for word in arguments if word.startswith("-")]
    return next((f"no option {word} of nexus-xr {arguments[0]}" for word in options if f'"{word}"' not in text), None)


def _fault_of_python(arguments: list[str]) -> str | None:
    if arguments[0] != "-m":
        source = ROOT / arguments[0]
    elif (ROOT / arguments[1]).is_dir():
        source = ROOT / arguments[1] / "__main__.py"
    else:
        return None if importlib.util.find_spec(arguments[1]) else f"no module {arguments[1]}"
    if not source.is_file():
        return f"no file {source}"
    text = source.read_text()
    options = [word for word in arguments if word.startswith("--")]
    return next((f"no option {word} of {source.name}" for word in options if f'"{word}"' not in text), None)
