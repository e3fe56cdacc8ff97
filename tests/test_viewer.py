"""What the viewer shows, in a browser."""

from __future__ import annotations

import html
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import h5py
import httpx
import numpy as np
import pytest
import xarray as xr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import nexus_xr
from nexus_xr.nexus.tree.find import absolute
from nexus_xr.server.settings import Limits

from .corpus import CORPUS, corpus_files
from .files import Field, nxdata, nxentry, write_tree
from .services import TOKEN, client_of, listening, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    counts = Field(np.arange(12.0).reshape(3, 4), {"signal": 1, "axes": "angle:time", "units": "counts"})
    angle, time = Field(np.arange(3.0), {"units": "degree"}), Field(np.arange(5.0), {"units": "us"})
    old = nxdata({"counts": counts, "angle": angle, "time": time, "title": ["An old map"]})
    write_tree(folder / "old.nxs", {"run": nxentry({"title": "A scan", "bank": old})})
    curve = nxdata({"I": np.arange(9.0), "Q": np.linspace(0.1, 0.9, 9)}, signal="I", axes="Q")
    write_tree(folder / "curve.nxs", {"entry": nxentry({"data": curve})})
    points = nxdata({"I": np.arange(9.0), "X": np.arange(9.0), "Y": np.arange(9.0)[::-1]}, signal="I", axes=["X", "Y"])
    write_tree(folder / "points.nxs", {"entry": nxentry({"data": points})})
    stack = nxdata({"counts": np.arange(60).reshape(5, 3, 4)}, signal="counts", default_slice=["1", ".", "."])
    write_tree(folder / "stack.nxs", {"entry": nxentry({"data": stack})})
    scaled = {
        "counts": np.arange(5, dtype="u2"),
        "counts_scaling_factor": 0.5,
        "counts_offset": 600.0,
        "x": np.arange(6, dtype=">i4"),
        "x_scaling_factor": 10.0,
    }
    write_tree(folder / "scaled.nxs", {"entry": nxentry({"data": nxdata(scaled, signal="counts", axes="x")})})
    signals = {"number": 4.5, "empty": np.zeros(0), "text": np.array(["a", "b"], dtype=object)}
    unplotted = {name: nxdata({"counts": Field(value, {"signal": 1})}) for name, value in signals.items()}
    write_tree(folder / "unplotted.nxs", {"entry": nxentry(unplotted)})
    (folder / "broken.nxs").write_bytes((folder / "curve.nxs").read_bytes()[:600])
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(folder) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(60_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/?{urlencode({'token': TOKEN})}")
    yield page
    page.close()
    assert all(url.startswith((address, "data:", "blob:")) for url in asked)


def view(page: Page, address: str, **asked: str) -> None:
    page.goto(f"{address}/view?{urlencode(asked)}")


def test_the_list_names_files_and_what_they_show(page: Page) -> None:
    row = page.get_by_role("row").filter(has_text="old.nxs")
    row.get_by_text("A scan").wait_for()
    assert row.get_by_text("/run/bank").is_visible()
    assert row.get_by_text("3 \u00d7 4").is_visible()
    broken = page.get_by_role("row").filter(has_text="broken.nxs")
    assert "damaged" in broken.inner_text() or "truncated" in broken.inner_text()
    page.get_by_role("link", name="curve.nxs").click()
    page.get_by_text("NX Line").first.wait_for()


def test_data_of_older_rules_is_a_map_with_its_axes(page: Page, address: str) -> None:
    view(page, address, file="old.nxs")
    page.get_by_text("An old map").wait_for()
    assert page.get_by_role("tab", name="NX Heatmap").get_attribute("aria-selected") == "true"
    page.get_by_text("angle (degree)").wait_for()
    page.get_by_text("time (us)").wait_for()


def test_a_curve_has_its_axis(page: Page, address: str) -> None:
    view(page, address, file="curve.nxs", path="/entry/data")
    page.get_by_text("NX Line").first.wait_for()
    page.get_by_text("Q", exact=True).first.wait_for()


def test_points_in_a_plane_are_scattered_by_both_axes(page: Page, address: str) -> None:
    view(page, address, file="points.nxs", path="/entry/data")
    page.get_by_role("tab", name="NX Scatter").click()
    for axis in ("X", "Y"):
        page.get_by_text(axis, exact=True).first.wait_for()


@pytest.mark.parametrize(("asked", "selection"), [("3,:,:", "3,:,:"), (":, 2, :", ":,2,:"), ("9,:,:", "0,:,:")])
def test_the_address_says_which_slice_is_shown_first(page: Page, address: str, asked: str, selection: str) -> None:
    with page.expect_request(lambda request: "selection" in parse_qs(urlsplit(request.url).query)) as first:
        view(page, address, file="stack.nxs", path="/entry/data", slice=asked)
    assert parse_qs(urlsplit(first.value.url).query)["selection"] == [selection]
    page.get_by_text("NX Heatmap").first.wait_for()


def test_as_stored_nothing_is_told(page: Page, address: str) -> None:
    view(page, address, file="old.nxs", path="/run/bank", **{"as": "stored"})
    page.get_by_text("Expected scalar shape").wait_for()  # of the title
    assert not page.get_by_text("An old map").is_visible()


@pytest.mark.parametrize("name", ["number", "empty", "text"])
def test_data_that_makes_no_plot_is_a_group_to_look_into(page: Page, address: str, name: str) -> None:
    view(page, address, file="unplotted.nxs", path=f"/entry/{name}")
    page.get_by_role("treeitem", name="counts").wait_for()
    page.get_by_text("Nothing to display").wait_for()


@pytest.mark.parametrize(("told", "highest"), [("plotted", "302"), ("stored", "4")])
def test_what_is_scaled_is_plotted_as_it_opens(page: Page, address: str, told: str, highest: str) -> None:
    view(page, address, file="scaled.nxs", path="/entry/data", **{"as": told})
    page.locator("svg").get_by_text(highest, exact=True).first.wait_for()


@pytest.mark.parametrize(
    ("told", "saved"), [("plotted", [300.0, 300.5, 301.0, 301.5, 302.0]), ("stored", [0, 1, 2, 3, 4])]
)
def test_what_is_saved_is_what_is_shown(page: Page, address: str, told: str, saved: list[float]) -> None:
    view(page, address, file="scaled.nxs", path="/entry/data", **{"as": told})
    page.get_by_role("button", name="Export").first.click()
    with page.expect_download() as download:
        page.get_by_text("Export to NPY").click()
    assert np.load(download.value.path()).tolist() == saved


@pytest.mark.parametrize("name", ["counts", "x"])
def test_what_is_scaled_is_told_as_it_opens(folder: Path, name: str) -> None:
    asked = {"file": "scaled.nxs", "path": f"/entry/data/{name}", "as": "plotted"}
    opened = xr.open_dataset(folder / "scaled.nxs", engine="nexus")
    expected = opened[name] if name == "counts" else opened.nexus.edges(name)
    with client_of(folder, limits=Limits(workers=1)) as client:
        described = client.get("/h5grove/meta", params=asked).json()
        group = client.get("/h5grove/meta", params={**asked, "path": "/entry/data"}).json()
        part, whole = (
            np.frombuffer(client.get("/h5grove/data", params={**asked, **what, "format": "bin"}).content, "<f8")
            for what in ({"selection": "2:4", "dtype": "safe"}, {})
        )
        stored = client.get("/h5grove/data", params={**asked, "as": "stored"}).json()
    assert described in group["children"]
    assert described["shape"] == [len(whole)]
    assert described["type"]["dtype"] == "<f8"
    assert np.array_equal(whole, np.asarray(expected))
    assert np.array_equal(part, whole[2:4])
    assert stored == list(range(len(whole)))


def test_a_file_that_is_broken_says_so(page: Page, address: str) -> None:
    view(page, address, file="broken.nxs")
    page.get_by_text("broken.nxs").first.wait_for()
    page.get_by_text("truncated").first.wait_for()


def test_a_file_that_grows_is_shown_at_its_present_length(page: Page, folder: Path, address: str) -> None:
    with h5py.File(folder / "growing.nxs", "w", libver="latest") as file:
        group = file.create_group("entry/data")
        group.attrs.update(NX_class="NXdata", signal="counts")
        counts = group.create_dataset("counts", (2, 4, 5), "u2", maxshape=(None, 4, 5), chunks=(1, 4, 5))
        file.swmr_mode = True
        for length in (2, 7):
            counts.resize((length, 4, 5))
            counts.flush()
            view(page, address, file="growing.nxs", path="/entry/data")
            page.get_by_text(str(length), exact=True).first.wait_for()


def test_python_opens_the_viewer_at_what_is_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visited: list[str] = []
    monkeypatch.setattr("webbrowser.open", visited.append)
    whole = nexus_xr.view(folder / "old.nxs")
    with xr.open_dataset(folder / "old.nxs", engine="nexus") as dataset:
        group = nexus_xr.view(dataset, browser=False)
    assert visited == [whole.url]
    asked = [parse_qs(urlsplit(view.url).query) for view in (whole, group)]
    assert [each["file"] for each in asked] == [["old.nxs"]] * 2
    assert [each.get("path") for each in asked] == [None, ["/run/bank"]]
    assert whole.url in html.unescape(whole._repr_html_())
    with httpx.Client(follow_redirects=True) as client:
        assert "viewer.js" in client.get(whole.url).text
        told = client.get(urljoin(whole.url, "h5grove/attr"), params={"file": "old.nxs", "path": "/run/bank"})
        assert told.json()["NX_class"] == "NXdata"


def test_what_isnt_as_in_its_file_is_written_to_be_shown(folder: Path) -> None:
    with xr.open_dataset(folder / "curve.nxs", engine="nexus") as dataset:
        views = [nexus_xr.view(each, browser=False) for each in (dataset.I[2:5], dataset.I * 2, dataset)]
    names = [parse_qs(urlsplit(view.url).query)["file"][0] for view in views]
    assert names[2] == "curve.nxs"
    assert len({*names}) == 3
    with httpx.Client(follow_redirects=True) as client:
        client.get(views[0].url)
        asked = {"file": names[0], "path": "/entry1/I/I"}
        assert client.get(urljoin(views[0].url, "h5grove/data"), params=asked).json() == [2.0, 3.0, 4.0]


OTHERWISE: dict[str, Callable[[xr.Dataset], xr.Dataset | xr.DataArray]] = {
    "turned round": lambda ds: ds.isel(Q=slice(None, None, -1)),
    "sorted": lambda ds: ds.I.sortby("Q", ascending=False),
    "rolled": lambda ds: ds.I.roll(Q=1),
    "other values": lambda ds: ds.I.copy(data=np.zeros(9)),
    "another axis": lambda ds: ds.assign_coords(Q=ds.Q.copy(data=np.arange(9.0))),
    "lost": lambda ds: ds.isel(Q=slice(8)),
    "renamed in memory": lambda ds: ds.load().rename(I="J"),
}
ALIKE: dict[str, Callable[[xr.Dataset], xr.Dataset | xr.DataArray]] = {
    "array": lambda ds: ds.I,
    "read": lambda ds: ds.load(),
    "array that was read": lambda ds: ds.I.load(),
    "other blocks": lambda ds: ds.chunk(Q=9).chunk(Q=2),
}


@pytest.mark.parametrize("chunks", [None, {}])
@pytest.mark.parametrize("change", OTHERWISE)
def test_what_has_other_values_than_its_file_is_shown_with_these(folder: Path, change: str, chunks: Any) -> None:
    with xr.open_dataset(folder / "curve.nxs", engine="nexus", chunks=chunks) as dataset:
        shown = nexus_xr.view(OTHERWISE[change](dataset), browser=False)
    assert parse_qs(urlsplit(shown.url).query)["file"] != ["curve.nxs"]


@pytest.mark.parametrize("chunks", [None, {}])
@pytest.mark.parametrize("change", ALIKE)
def test_what_has_the_values_of_its_file_is_shown_there(folder: Path, change: str, chunks: Any) -> None:
    with xr.open_dataset(folder / "curve.nxs", engine="nexus", chunks=chunks) as dataset:
        shown = nexus_xr.view(ALIKE[change](dataset), browser=False)
    assert parse_qs(urlsplit(shown.url).query)["file"] == ["curve.nxs"]


def test_what_was_read_before_its_file_grew_is_shown_there(tmp_path: Path) -> None:
    path = tmp_path / "grown.h5"
    with h5py.File(path, "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update({"NX_class": "NXdata", "signal": "counts"})
        data.create_dataset("counts", data=np.arange(3), maxshape=(None,))
    with xr.open_dataset(path, engine="nexus") as dataset:
        dataset.load()
    with h5py.File(path, "r+") as file:
        file["entry/data/counts"].resize((5,))
    assert parse_qs(urlsplit(nexus_xr.view(dataset, browser=False).url).query)["file"] == ["grown.h5"]


def test_what_cant_be_shown_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(nexus_xr.NexusFileNotFoundError, match=r"nothing.nxs: no such file; check the path"):
        nexus_xr.view(tmp_path / "nothing.nxs")
    (tmp_path / "text").write_text("")
    with pytest.raises(nexus_xr.NexusFileError, match=r"can't be opened .*Not a directory"):
        nexus_xr.view(tmp_path / "text" / "below.nxs")
    with pytest.raises(nexus_xr.NexusError, match="expected a path or an object of xarray to show, found int"):
        nexus_xr.view(3)
    (tmp_path / "notes.py").write_text("no data")
    with pytest.raises(nexus_xr.NexusFileError, match=r"notes.py: isn't an HDF5 file; name one that is"):
        nexus_xr.view(tmp_path / "notes.py", browser=False)
    for name in (".hidden.h5", "bad\udcff.h5"):
        write_tree(tmp_path / "shown.h5", {"x": 1.0})
        (tmp_path / "shown.h5").rename(tmp_path / name)
        with pytest.raises(nexus_xr.NexusError, match=r"names begin with a dot, or aren't UTF-8, aren't served"):
            nexus_xr.view(tmp_path / name, browser=False)


# Counts letters that scripts ask for as names, and says what of it may be had otherwise.
STRANGE_PAGE = """<script>
let named = '';
for (const letter of 'abcdefghij') Object.defineProperty(window, letter, {get() { named += letter; return 0; }});
const included = (tag, url) => new Promise(resolve => {
  const element = document.createElement(tag);
  element.onload = () => resolve(`${tag} loaded`);
  element.onerror = () => resolve(`${tag} failed`);
  element.src = url;
  document.head.append(element);
});
const fetched = url => fetch(url).then(answer => answer.text(), () => 'fetch failed');
const all = (...urls) => Promise.all([
  included('script', urls[0]), included('script', urls[1]), included('img', urls[2]), fetched(urls[3]),
]).then(told => [named, ...told]);
</script>"""


def page_at(content: str) -> Starlette:
    async def send(_: Request) -> HTMLResponse:
        return HTMLResponse(content)

    return Starlette(routes=[Route("/", send)])


def asked_by_strange_page(page: Page, address: str) -> Any:
    below = f"{address}/api/data"
    return page.evaluate(
        "urls => all(...urls)",
        [
            f"{below}/letters.h5?path=/letter&selection=0",
            f"{below}/letters.h5?path=/script",
            f"{below}/old.nxs?path=/run/bank/counts&format=png",
            f"{below}/letters.h5?path=/number&format=json",
        ],
    )


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_pages_of_strangers_get_nothing(browser: Browser, folder: Path, name: str) -> None:
    """By the one name they are of another site, by the other at another port of the same host."""
    letters = {"letter": np.frombuffer(b"e", "u1"), "script": np.frombuffer(b"named += 'script'", "u1"), "number": 7}
    write_tree(folder / "letters.h5", letters)
    with listening(page_at(STRANGE_PAGE)) as elsewhere, browser.new_context() as context:
        page = context.new_page()
        there = elsewhere.replace("127.0.0.1", name)
        page.goto(there)
        with served(folder, token=False) as address:
            assert asked_by_strange_page(page, address) == ["", *["script failed"] * 2, "img failed", "fetch failed"]
        with served(folder, token=False, origins=[there]) as address:
            assert asked_by_strange_page(page, address)[-2:] == ["img failed", "7"]
        with served(folder, token=False, origins="*") as address:
            assert asked_by_strange_page(page, address)[-2:] == ["img loaded", "7"]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_the_viewer_is_shown_within_a_notebook(browser: Browser, folder: Path, name: str) -> None:
    shown = nexus_xr.view(folder / "curve.nxs", browser=False)
    with listening(page_at(shown._repr_html_())) as notebook, browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(notebook.replace("127.0.0.1", name))
        page.frame_locator("iframe").get_by_text("NX Line").first.wait_for()


def test_a_frame_without_scripts_in_a_page_of_another_site_says_what_helps(browser: Browser, folder: Path) -> None:
    frame = nexus_xr.view(folder / "curve.nxs", browser=False)._repr_html_().partition("<script>")[0]
    with listening(page_at(frame)) as notebook, browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(notebook)
        page.frame_locator("iframe").get_by_text("in a tab of its own").wait_for()


IN_NOTEBOOK = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=None))


@pytest.mark.parametrize(
    ("variables", "shell", "begin"),
    [
        ({}, IN_NOTEBOOK, "http://localhost:{port}/view?"),
        ({"NEXUS_XR_VIEW_BASE": "/proxy/{port}"}, None, "/proxy/{port}/view?"),
        ({"NEXUS_XR_VIEW_BASE": "https://{port}.example/"}, IN_NOTEBOOK, "https://{port}.example/view?"),
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/ann/"}, IN_NOTEBOOK, "/user/ann/proxy/{port}/view?"),
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/ann/"}, None, "http://localhost:{port}/view?"),
    ],
)
def test_a_notebook_on_another_machine_shows_the_viewer_through_its_proxy(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], shell: Any, begin: str
) -> None:
    visited: list[str] = []
    monkeypatch.setattr("webbrowser.open", visited.append)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    for name in ("NEXUS_XR_VIEW_BASE", "JUPYTERHUB_SERVICE_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    shown = nexus_xr.view(folder / "curve.nxs", browser=True)
    [here] = visited
    port = urlsplit(here).port
    assert here.startswith(f"http://localhost:{port}/view?")
    assert shown.url == begin.format(port=port) + urlsplit(here).query
    is_proxied = not begin.startswith("http://localhost")
    assert httpx.get(here, headers={"Host": "beamline:8888"}).status_code == (303 if is_proxied else 403)


def test_an_address_of_a_proxy_says_where_the_port_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS_XR_VIEW_BASE", "/proxy/8888/")
    with pytest.raises(nexus_xr.NexusError, match=r"NEXUS_XR_VIEW_BASE='/proxy/8888/': .* with {port} in it"):
        nexus_xr.view(folder / "curve.nxs", browser=False)


def test_what_cant_be_opened_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path / "mine.h5", {"x": 1.0})
    monkeypatch.setattr("builtins.open", mock.Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(nexus_xr.NexusFileError, match=r"mine.h5: can't be read \(Permission denied\); see to its"):
        nexus_xr.view(tmp_path / "mine.h5", browser=False)


def test_a_node_of_a_tree_is_shown_at_its_place(folder: Path) -> None:
    with xr.open_datatree(folder / "unplotted.nxs", engine="nexus") as tree:
        nodes = {node.path: nexus_xr.view(node, browser=False).url for node in tree.subtree}
        parts = {node.path: node.to_dataset() for node in tree.subtree}
        made = xr.DataTree.from_dict({"/": parts["/entry/text"], "/b": parts["/entry/number"]})
        moved = nexus_xr.view(made, browser=False)
    shown = {path: parse_qs(urlsplit(url).query).get("path") for path, url in nodes.items()}
    assert shown == {path: None if path == "/" else [path] for path in parts}
    assert "path" not in parse_qs(urlsplit(moved.url).query)


# Of real files: by older rules, of NXcanSAS, with axes in several dimensions, without a list of axes.
PLOTS = [
    ("exampledata/IPNS/LRMECS/hdf5/lrcs3701.nx5", "/Histogram1/data", ["Polar Angle", "Time-of-Flight"]),
    ("exampledata/SLS/Focus_2021-03-16_051.hdf5", "/entry1/counter0", ["line_position", "zone_plate"]),
    ("exampledata/APS/NXsas/hdf5/nexus-example.hdf5", "/entry/data", ["horizontal (pixels)", "vertical (pixels)"]),
    ("exampledata/hdf5/writer_1_3.h5", "/Scan/data", ["two_theta (degrees)"]),
    ("punx/punx/data/cs_af1410.h5", "/AF1410_10/AF1410_a10", ["Q (1/A)", "I (1/cm)"]),
]


@pytest.fixture(scope="module")
def corpus_page(browser: Browser) -> Iterator[tuple[Page, str]]:
    if not CORPUS.is_dir():
        pytest.skip(f"the corpus of real files is not at {CORPUS}")
    with served(CORPUS) as address:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{address}/?{urlencode({'token': TOKEN})}")
        yield page, address
        page.close()


@pytest.mark.parametrize(("file", "path", "labels"), PLOTS, ids=[file.rpartition("/")[2] for file, _, _ in PLOTS])
def test_real_data_plots_with_its_axes(
    corpus_page: tuple[Page, str], file: str, path: str, labels: Sequence[str]
) -> None:
    page, address = corpus_page
    view(page, address, file=file, path=path)
    page.locator("canvas").first.wait_for()
    for label in labels:
        page.get_by_text(label).first.wait_for()
    assert page.get_by_role("tab", selected=True).count()


def attributes(client: TestClient, file: Path, path: str) -> dict[str, Any]:
    name = str(file.relative_to(CORPUS))
    asked = {"file": name, "path": path, "as": "plotted"}
    answer: dict[str, Any] = client.get("/h5grove/attr", params=asked).json()
    return answer


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
@pytest.mark.parametrize("file", corpus_files(), ids=lambda file: file.name)
def test_every_group_of_data_is_told_with_the_axes_that_it_opens_with(corpus_client: TestClient, file: Path) -> None:
    with xr.open_datatree(file, engine="nexus") as tree:
        paths = [absolute(node.encoding["nexus_path"]) for node in tree.subtree if node.data_vars]
    for path in paths:
        told = attributes(corpus_client, file, path)
        if "axes" not in told or "signal" not in told:
            continue
        with xr.open_dataset(file, engine="nexus", group=path) as opened:
            signal = opened[told["signal"]]
        for dim, name in zip(signal.dims, told["axes"], strict=True):
            axes = {str(each): axis.dtype.kind for each, axis in signal.coords.items() if axis.dims == (dim,)}
            numbers = [each for each, kind in axes.items() if kind in "biuf" and not each.endswith("_errors")]
            assert name in numbers if name != "." else not numbers
