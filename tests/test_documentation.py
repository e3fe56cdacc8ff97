"""The code in the documentation runs, and what it names is there."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from starlette.routing import Route

import nexus_xr
from nexus_xr.backend import NexusBackendEntrypoint
from nexus_xr.cli.main import main
from nexus_xr.diagnostics import Code
from nexus_xr.nexus.classes.table import CLASSES, DEFINITIONS
from nexus_xr.opening.options import Options
from nexus_xr.server import app
from nexus_xr.server.endpoints.table import ENDPOINTS
from nexus_xr.server.pages import page_routes
from nexus_xr.signatures import documentation

from .pages import DOCS, ROOT, commands, fault_of, pages, run

pytestmark = pytest.mark.usefixtures("without_windows")
GALLERY = sorted((DOCS / "gallery").glob("plot_*.py"))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=name_of)
@pytest.mark.filterwarnings("ignore")  # of peers, about their own futures
def test_the_code_of_a_page_runs(page: Path) -> None:
    run(page)


@pytest.mark.parametrize("example", GALLERY, ids=name_of)
@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
def test_an_example_of_the_gallery_runs(example: Path) -> None:
    runpy.run_path(str(example), run_name="__main__")


def test_every_command_names_what_is_there() -> None:
    faults = {f"{name_of(page)}: {' '.join(words)}": fault_of(words) for page in pages() for words in commands(page)}
    assert {line: fault for line, fault in faults.items() if fault} == {}


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "pip install '.[none]'",
        "python examples/no.py",
        "python -m benchmarks read --no",
        "sl",
        "nexus-xr no",
        "nexus-xr info --no",
    ],
)
def test_a_command_that_names_what_is_not_there_is_found(line: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```sh\n{line}\n```\n")
    [words] = commands(page)
    assert fault_of(words)


@pytest.mark.parametrize("text", ["1 / 0", ">>> 1 + 1\n3", ">>> 1 / 0\n1"])
def test_code_that_fails_is_found(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```python\nx = 1\n```\n<!--\n```python\n{text}\n```\n-->\n")
    with pytest.raises((ZeroDivisionError, AssertionError)):
        run(page)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_reference_has_every_public_name() -> None:
    reference = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    documented = set(re.findall(r"auto\w+:: nexus_xr\.(\w+)", reference))
    assert documented >= set(nexus_xr.__all__)


def test_the_guide_has_every_option_as_it_is_documented() -> None:
    documented = {name: " ".join(text.replace("``", "`").split()) for name, text in documentation(Options).items()}
    table = re.findall(r"^\| `(\w+)` \| (.+) \|$", (DOCS / "guide" / "opening.md").read_text(), re.MULTILINE)
    assert [row for row in table if row[0] in documented] == list(documented.items()), (
        "an option of opening/options.py needs its row in docs/guide/opening.md, Options, in the words of its docstring"
    )


def test_the_reference_has_every_code_as_it_is_documented() -> None:
    table = re.findall(
        r"^\| `([\w-]+)` \| (.+) \| (.+) \|$", (DOCS / "reference" / "errors.md").read_text(), re.MULTILINE
    )
    documented = [(str(code), code.rule or "-", code.meaning) for code in Code]
    assert [row for row in table if "-" in row[0]] == documented, (
        "a code of diagnostics.py needs its row in docs/reference/errors.md, in the same order and words"
    )


def first_column(page: str, heading: str) -> list[str]:
    """What is named in the first cells of the tables that stand in a section of a page of the guide."""
    section = (DOCS / "guide" / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall("`(.+?)`", cell)]


def test_the_guide_has_every_class_of_groups() -> None:
    known = [each.name for each in (*CLASSES, *DEFINITIONS)]
    assert first_column("data_model.md", "Classes of groups") == known, (
        "a class of nexus/classes/table.py needs its row in docs/guide/data_model.md, Classes of groups, in its order"
    )


def test_the_guide_has_every_endpoint() -> None:
    pages_of_viewer = {route.path for route in page_routes(())}
    others = {route.path for route in app(DOCS).routes if isinstance(route, Route)} - pages_of_viewer
    documented = {re.split(r"\?|/FI|/FO", address)[0] for address in first_column("server.md", "What can be asked")}
    assert documented == others | {each.begin.rstrip("/") for each in ENDPOINTS}, (
        "an endpoint of server/endpoints/table.py needs its row in docs/guide/server.md, What can be asked"
    )


def test_the_guide_has_every_subcommand() -> None:
    documented = re.findall(r"nexus-xr (\w+)", (DOCS / "guide" / "command_line.md").read_text())
    assert set(documented) == set(main.list_commands(click.Context(main))), (
        "a command of cli/main.py needs a `nexus-xr NAME` in docs/guide/command_line.md"
    )


@pytest.mark.parametrize("page", ["architecture", "contributing", "extending"])
def test_modules_that_a_page_for_developers_names_are_there(page: str) -> None:
    named = set(re.findall(r"`([\w/]+\.(?:py|c))`", (DOCS / "project" / f"{page}.md").read_text()))
    there = [f"/{path.relative_to(ROOT)}" for path in source_files()]
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in there)] == []


def source_files() -> Iterator[Path]:
    for folder in ("nexus_xr", "tests", "benchmarks"):
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".c"))


def test_the_engine_names_the_documentation() -> None:
    assert (ROOT / NexusBackendEntrypoint.url).is_file()


@pytest.mark.parametrize("file", ["CITATION.cff", "docs/project/citing.md"])
def test_what_is_cited_is_this_version(file: str) -> None:
    assert f"version {nexus_xr.__version__}" in (ROOT / file).read_text().replace("version: ", "version ")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
