"""What is drawn of files and arrays, as pictures and in letters."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from nexus_xr import NexusError, plot, text_plot
from nexus_xr.cli import screen as screens

from .files import nxdata, write_tree
from .pages import write_scan
from .processes import run
from .shell import invoke, refused, said

pytestmark = pytest.mark.usefixtures("without_windows")
CODES = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    write_scan(str(tmp_path / "scan.nxs"))
    return tmp_path / "scan.nxs"


def image(values: Any, **coordinates: Any) -> xr.DataArray:
    return xr.DataArray(values, coordinates, ("y", "x"), "n")


def curve(values: Any, **coordinates: Any) -> xr.DataArray:
    return xr.DataArray(values, coordinates, "x", "n")


SIX = np.arange(6).reshape(2, 3)
COLOURS = np.arange(24, dtype="u1").reshape(2, 4, 3)
DAYS = np.array(["2024-05-01", "2024-05-02", "2024-05-04"], "M8[ns]")
ALL = {
    "one value": curve([5.5]),
    "a scalar": xr.DataArray(5.5, name="n"),
    "one pixel": image([[5.5]]),
    "NaN alone": curve([np.nan] * 5),
    "infinity alone": curve([np.inf] * 5),
    "an image of NaN": image(np.full((4, 5), np.nan)),
    "text along a curve": curve([1, 3, 2], x=["apple", "pear", "banana"]),
    "text along an image": image(SIX, x=["apple", "pear", "banana"]),
    "a curve back and forth": curve([1, 3, 2, 5], x=[0.0, 5, 2, 3]),
    "an image back and forth": image(np.arange(8).reshape(2, 4), x=[0.0, 5, 2, 3]),
    "NaN in an axis": curve([1, 3, 2], x=[0.0, np.nan, 2]),
    "a falling axis": image(SIX, x=[3, 2, 1]),
    "one value all over": image(np.ones((3, 3)), x=[1.0, 1, 1]),
    "complex numbers": curve(np.exp(1j * np.arange(20))),
    "truth": image(SIX > 2),
    "large integers": curve(np.array([2**64 - 1, 0], "u8")),
    "half precision": curve(np.array([1, 2, 3], "f2")),
    "red, green and blue": xr.DataArray(COLOURS, dims=("y", "x", "c"), attrs={"interpretation": "rgb-image"}),
    "five colours": xr.DataArray(np.ones((2, 3, 5)), dims=("y", "x", "c"), attrs={"interpretation": "cmyk-image"}),
    "dates": curve([1, 2, 3], x=DAYS),
    "lengths of time": curve([1, 2, 3], x=np.array([1, 2, 3], "m8[s]")),
    "a long name": curve([1, 2, 3]).rename("n" * 300),
    "no name": xr.DataArray([1, 2, 3]),
    "bins": curve([3.0, 5, 2]).nexus.assign_edges(x=[0, 10, 20, 40]),
    "an image over bins": image(SIX).nexus.assign_edges(x=[0, 10, 20, 40]),
    "uncertainties": curve([1.0, 2]).nexus.with_uncertainties([0.1, 0.2]),
    "gaps": curve([1, np.nan, 2, 3, np.nan, np.nan, 5]),
    "scalars": curve(np.arange(9.0)).assign_attrs(interpretation="scalar"),
}


@pytest.mark.parametrize("kind", ALL)
def test_whatever_there_is_is_drawn(kind: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({}, {"is_ascii": True}, {"colours": 256}, {"colours": 1 << 24}):
            for width, height in ((80, 24), (31, 9)):
                drawn = text_plot(ALL[kind], width=width, height=height, **options)
                lines = CODES.sub("", drawn).split("\n")
                assert len(lines) <= height
                assert max(map(len, lines)) <= width
                assert all(line.isprintable() for line in lines)
                assert drawn.isascii() or "is_ascii" not in options
        plot(ALL[kind], tmp_path / "it.png")
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (curve(["a", "b"]), "of type text"),
        (curve(np.zeros(3, [(f"a{at}", "f4") for at in range(90)])), "is a compound of 90 members, which can't"),
        (image(np.zeros((0, 3))), "no values to draw"),
        (xr.DataArray(np.zeros((0, 2, 3)), name="n"), r"no values to draw; its shape is \(0, 2, 3\)"),
        (xr.Dataset(), "no signal to draw"),
        (xr.DataTree(), "many plots"),
    ],
)
def test_what_can_not_be_drawn_is_refused(array: Any, why: str, tmp_path: Path) -> None:
    for draw in (text_plot, lambda what: plot(what, tmp_path / "it.png")):
        with pytest.raises(NexusError, match=why):
            draw(array)
    assert list(tmp_path.iterdir()) == []


def test_a_curve_is_drawn_in_letters() -> None:
    speed = xr.DataArray([0.0, 4, 0], {"t": ("t", [0, 1, 2], {"units": "s"})}, "t", "v", {"units": "m/s"})
    assert text_plot(speed, width=15, height=8).splitlines() == [
        "v (m/s)",
        "4 │     ⡔⢣",
        "  │   ⢀⠎  ⠣⡀",
        "  │  ⢠⠃    ⠱⡀",
        "  │ ⡰⠁      ⠑⡄",
        "0 │⡜         ⠘⢄",
        "  └────────────",
        "   0  t (s)   2",
    ]


def test_an_image_is_drawn_as_it_lies_over_its_axes() -> None:
    falling = image([[0, 1], [2, np.nan]], x=("x", [2.5, -1.0], {"units": "mm"}), y=["low", "high"])
    assert text_plot(falling, width=24, height=9, is_ascii=True).splitlines() == [
        "n  0 .:-=+*#%@ 2",
        "y",
        "high |         @@@@@@@@@",
        "     |         @@@@@@@@@",
        "     |         @@@@@@@@@",
        "     |+++++++++.........",
        " low |+++++++++.........",
        "     +------------------",
        "      -1    x (mm)   2.5",
    ]


def test_cells_of_an_image_are_as_wide_as_their_axis_says() -> None:
    drawn = text_plot(image([[0, 9, 0]] * 2, x=[0, 1, 9]), width=60, height=8, is_ascii=True)
    for line in drawn.splitlines()[2:-2]:  # borders of the cells are at -0.5, 0.5, 5 and 13
        assert line.partition("|")[2] == 4 * "." + 19 * "@" + 34 * "."


def test_of_many_values_along_a_curve_the_least_and_the_greatest_are_seen() -> None:
    values = np.zeros(100_000)
    values[[31_415, 92_653]] = 7, -2
    top, *_, bottom = text_plot(curve(values), width=80, height=24, is_ascii=True).splitlines()[1:-2]
    assert (top.count("*"), bottom.count("*")) == (1, 1)
    assert (top.index("*") - 4, bottom.index("*") - 4) == (int(0.31415 * 76), int(0.92653 * 76))


def test_an_image_in_colours_has_two_pixels_a_place() -> None:
    lines = text_plot(image([[0, 0], [1, 1]]), width=14, height=7, colours=1 << 24).splitlines()
    assert lines[3] == f"  │\x1b[38;2;253;231;37;48;2;68;1;84m{'▀' * 11}\x1b[0m"
    lines = text_plot(image([[0, 0], [np.nan, 1]]), width=14, height=7, colours=256).splitlines()
    assert lines[2:5] == [
        "1 │     \x1b[38;5;227;48;5;227m▀▀▀▀▀▀\x1b[0m",
        "  │\x1b[38;5;54m▄▄▄▄▄\x1b[0m\x1b[38;5;227;48;5;54m▀▀▀▀▀▀\x1b[0m",
        "0 │\x1b[38;5;54;48;5;54m▀▀▀▀▀▀▀▀▀▀▀\x1b[0m",
    ]


def test_a_plot_says_which_part_it_shows(scan: Path) -> None:
    assert text_plot(scan).splitlines()[0] == "frame[0] = 0 s"
    with h5py.File(scan, "r+") as file:
        file["entry/detector"].attrs["default_slice"] = ["3", ".", "."]
    heading, name, *_ = text_plot(scan).splitlines()
    assert heading == "frame[3] = 1.5 s"
    assert name.startswith("counts (counts)  0 .:-")
    stack = xr.DataArray(np.zeros((2, 3, 5000)), dims=("t", "y", "x"), name="n")
    assert text_plot(stack).splitlines()[0] == "t[0], 1 of 3 along x"


def test_only_what_is_shown_is_read(tmp_path: Path) -> None:
    """Frames of 149 GiB, of which none was written but a piece that is damaged, in another frame."""
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        group = file.create_group("entry/data")
        group.create_dataset("n", (9, 200_000, 200_000), "f4", chunks=(1, 2000, 2000), compression="gzip")
        group["n"].id.write_direct_chunk((1, 0, 0), b"damaged")
        group.attrs.update(NX_class="NXdata", signal="n")
    code = (
        "import resource, sys, nexus_xr\n"
        "nexus_xr.describe(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2 << 30,) * 2)\n"
        "print(nexus_xr.text_plot(sys.argv[1]).splitlines()[0])"
    )
    assert run(code, tmp_path / "f.nxs") == "dim_0[0], 1 of 98 along dim_1, 1 of 98 along dim_2\n"


def test_a_thinned_view_has_the_places_of_what_it_left_out() -> None:
    long = curve(np.arange(1_200_000))
    assert text_plot(long).splitlines()[-1].split() == ["0", "x", "1199998"]
    assert plot(long)[0].get_xdata()[-1] == 1_199_998
    plt.close("all")
    assert plot(image(np.zeros((2, 5000)))).axes.get_xlim()[1] == pytest.approx(4998, abs=3)
    plt.close("all")


def test_a_picture_is_drawn_where_axes_are_none(tmp_path: Path) -> None:
    artist = plot(ALL["text along an image"])
    assert [label.get_text() for label in artist.axes.get_xticklabels()] == ["apple", "pear", "banana"]
    plt.close("all")
    [line] = ALL["text along a curve"].nexus.plot()
    assert line.get_ydata().tolist() == [1, 3, 2]
    plt.close("all")
    assert plot(ALL["red, green and blue"]).get_array().shape == (2, 4, 4)  # with opacity
    plt.close("all")
    [point] = plot(ALL["one value"])
    assert point.get_marker() == "o"
    plt.close("all")


def test_a_picture_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    array = ALL["dates"]
    plot(array, tmp_path / "it.svg")
    assert "<svg" in (tmp_path / "it.svg").read_text()
    with pytest.raises(NexusError, match="is there already"):
        plot(array, tmp_path / "it.svg")
    plot(array, tmp_path / "it.svg", overwrite=True, color="red")
    assert "#ff0000" in (tmp_path / "it.svg").read_text()
    with pytest.raises(NexusError, match=r"no pictures of this format; there are: .*png"):
        plot(tmp_path / "gone.nxs", tmp_path / "it.xyz")  # which is told before anything is opened
    with pytest.raises(NexusError, match="can't be drawn"):
        plot(curve([-1.7e308, 1.7e308]), tmp_path / "it.png")
    with pytest.raises(NexusError, match="for files"):
        plot(array, tmp_path / "it.png", dataset_path="/entry")
    assert [path.name for path in tmp_path.iterdir()] == ["it.svg"]


def _detector(flags: Sequence[int], hot: int = 0) -> xr.DataArray:
    """Counts from 0 to 9 with flags at the first pixels, and one hot one."""
    values = np.arange(10_000, dtype="i4") % 10
    values[: len(flags)] = flags
    values[-1] = hot or values[-1]
    return image(values.reshape(100, 100))


@pytest.mark.parametrize(
    ("array", "limits", "masked"),
    [
        (_detector([-1, -2, -3, -4] * 624), (0, 9), 2496),
        (_detector([-1, -2, -3, -4] * 625), (-9, 9), 0),  # a quarter of it, and so values
        (_detector([-1, -2, -3, -4, -5]), (-5, 9), 0),  # too many for flags
        (_detector([-1], hot=90), (0, 90), 1),
        (_detector([-1], hot=91), (0, 9), 1),
        (_detector([], hot=91).astype("f8"), (0, 91), 0),
        (image(np.full((4, 4), -1)), (-1, -1), 0),
        (image(np.zeros((100, 100), "i4")), (0, 0), 0),
    ],
)
def test_colours_are_those_of_counts(array: xr.DataArray, limits: tuple[float, float], masked: int) -> None:
    artist = plot(array)
    assert artist.get_cmap().name == ("RdBu_r" if limits[0] == -9 else "viridis")
    assert np.ma.count_masked(artist.get_array()) == masked
    if limits[0] < limits[1]:
        assert artist.get_clim() == limits
    assert artist.colorbar.extend == ("max" if array.max() > limits[1] else "neither")
    plt.close("all")
    if limits[0] != -9:
        ends = text_plot(array, is_ascii=True).split("\n")[0]
        assert ends.startswith(f"n  {limits[0]} ")
        assert ends.endswith(f" {limits[1]}" + (" and more" if array.max() > limits[1] else ""))


def test_colours_are_as_they_are_asked_for() -> None:
    artist = plot(_detector([-1], hot=91), vmin=0, vmax=91, cmap="gray")
    assert (artist.get_clim(), artist.get_cmap().name) == ((0, 91), "gray")
    assert plot(_detector([-1], hot=91), cmap="gray").get_clim() == (0, 9)
    plt.close("all")


@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ({"long_name": "Time [us]", "units": "us"}, "Time [us]"),
        ({"long_name": "Time (us)", "unit": "us"}, "Time (us)"),
        ({"long_name": "Time us", "units": "us"}, "Time us"),
        ({"long_name": "Focus", "units": "us"}, "Focus [us]"),
        ({"long_name": "Time [ns]", "units": "us"}, "Time [ns] [us]"),
        ({"units": ""}, "x"),
        ({"units": " "}, "x"),
    ],
)
def test_units_are_told_once_and_where_there_are_any(attributes: dict[str, str], label: str) -> None:
    array = curve([1, 2, 3], x=("x", [0.0, 1, 2], attributes))
    [line] = plot(array)
    assert line.axes.get_xlabel() == label
    assert array.x.attrs == attributes
    plt.close("all")
    if "unit" not in attributes:
        units = attributes["units"].strip()
        shown = label.removesuffix(" [us]") + " (us)" if units and label != attributes["long_name"] else label
        assert re.fullmatch(rf" *0 +{re.escape(shown)} +2", text_plot(array).split("\n")[-1])


def test_numbers_along_an_axis_do_not_reach_into_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slanted = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda figure, *_, **__: slanted.append(figure.axes[0].get_xticklabels()[0])
    )
    for places in (-1.77902 + np.arange(6) * 6.6e-5, np.arange(6.0)):
        plot(image(np.arange(42).reshape(7, 6), x=places), tmp_path / "it.png", overwrite=True)
    assert [label.get_rotation() for label in slanted] == [30, 0]


# --- nexus-xr plot -------------------------------------------------------------------------------------------------


def test_a_terminal_gets_the_plot_in_letters(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "20")
    monkeypatch.setenv("TERM", "xterm-256color")
    drawn = said("plot", scan, "--text")
    assert drawn == text_plot(scan, width=60, height=19) + "\n"
    assert said("plot", f"file://{scan}", "--text") == drawn
    drawn = said("plot", scan, "--text", "--path", "/entry/map")
    assert drawn == text_plot(scan, width=60, height=19, dataset_path="/entry/map") + "\n"
    monkeypatch.setenv("TERM", "dumb")
    assert said("plot", scan, "--text").isascii()
    assert invoke("plot", scan, "it.png", "--text").exit_code == 2
    write_tree(scan.with_name("text.nxs"), {"data": nxdata({"n": np.array([b"a", b"b"])}, signal="n")})
    assert "text.nxs:/data/n: is of type text" in refused("plot", scan.with_name("text.nxs"), "--text")


@pytest.mark.parametrize(
    ("environment", "colours"),
    [
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, 1 << 24),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, 0),
        ({"TERM": "xterm"}, 0),
        ({"TERM": "dumb"}, 0),
    ],
)
def test_a_terminal_has_colours_where_it_says_so(
    environment: dict[str, str], colours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert screens.colours() == 0
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert screens.colours() == colours
    monkeypatch.setattr(screens, "has_rich", lambda: False)
    assert screens.colours() == 0
