"""Directives that draw what the package is made of, so that no page can fall behind it.

``floors`` draws each import contract of pyproject.toml as a picture, and ``modules`` lists what a folder of the
package holds, with the first sentence of each module.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
_CONTRACTS = ROOT / "pyproject.toml"
_WIDTH, _HEIGHT, _GAP, _MARGIN = 940, 34, 12, 4


class Floors(SphinxDirective):
    """A picture of each contract of layers: who stands higher may import what stands lower, and never the reverse."""

    def run(self) -> list[nodes.Node]:
        """One titled picture a contract."""
        self.env.note_dependency(str(_CONTRACTS))
        contracts = tomllib.loads(_CONTRACTS.read_text())["tool"]["importlinter"]["contracts"]
        return [node for contract in contracts if contract["type"] == "layers" for node in _titled(contract)]


def _titled(contract: dict[str, Any]) -> Iterator[nodes.Node]:
    yield nodes.rubric(text=contract["name"])
    for container in contract.get("containers", [""]):
        prefix = f"{container}." if container else ""
        picture = drawn([[prefix + name for name in names] for names in floors_of(contract["layers"])])
        yield nodes.raw("", f'<div class="floors">{picture}</div>', format="html")


def floors_of(layers: list[str]) -> list[list[str]]:
    """The names on each floor, from the highest down.

    Examples
    --------
    >>> floors_of(["a.top", "a.left | (a.right)", "a.base"])
    [['a.top'], ['a.left', 'a.right'], ['a.base']]
    """
    return [[name.strip(" ()") for name in re.split(r"[|:]", layer)] for layer in layers]


def drawn(floors: list[list[str]]) -> str:
    """Boxes in rows as SVG, in the colours of the page."""
    rows: list[str] = []
    top = _MARGIN
    for names in floors:
        lines = -(-len(names) // 5)
        for line in range(lines):
            part = names[line * len(names) // lines : (line + 1) * len(names) // lines]
            rows.extend(_row(part, top))
            top += _HEIGHT + (_GAP if line == lines - 1 else 4)
    height = top - _GAP + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" '
        f'aria-label="floors from the highest down: {escape("; ".join(", ".join(names) for names in floors))}" '
        f'font-family="monospace" font-size="13" fill="none" stroke="currentColor">{"".join(rows)}</svg>'
    )


def _row(names: list[str], top: int) -> Iterator[str]:
    width = (_WIDTH - 2 * _MARGIN - (len(names) - 1) * 8) / len(names)
    for place, name in enumerate(names):
        left = _MARGIN + place * (width + 8)
        short = name.removeprefix("nexus_xr.")
        yield f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_HEIGHT}" rx="5" stroke-opacity="0.6"/>'
        yield (
            f'<text x="{left + width / 2:.1f}" y="{top + _HEIGHT / 2 + 4.5:.1f}" text-anchor="middle" '
            f'fill="currentColor" stroke="none">{escape(short)}</text>'
        )


class Modules(SphinxDirective):
    """What the package or one of its folders holds: each module with the first sentence of its docstring."""

    optional_arguments = 1
    option_spec = {"folders": directives.flag}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """A definition list, modules in the order of their names."""
        folder = ROOT / "nexus_xr" / (self.arguments[0] if self.arguments else "")
        found = nodes.definition_list()
        for path in sorted(folder.glob("*/__init__.py" if "folders" in self.options else "*.py")):
            self.env.note_dependency(str(path))
            if sentence := first_sentence(path):
                name = path.parent.name + "/" if "folders" in self.options else path.name
                term = nodes.term("", "", nodes.literal(text=name))
                found += nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph(text=sentence)))
        return [found]


def first_sentence(path: Path) -> str:
    """What a module says first of itself."""
    text = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n\n")[0]
    return " ".join(text.split()).replace("``", "").replace("`", "")


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of the directives."""
    app.add_directive("floors", Floors)
    app.add_directive("modules", Modules)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
