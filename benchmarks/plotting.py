"""Pictures of the results: small panels of horizontal bars, each bar with its figure beside it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .harness import command_line, machine_line

ACCENT = "#c8501e"
QUIET = "#a9b4c0"
INK = "#24303c"
FAINT = "#8a949e"
MOST_COLUMNS = 5
# Bars end here in a panel's width, so that the figures beside them have room.
FULL_WIDTH = 0.72


@dataclass(frozen=True)
class Bar:
    """One bar.

    Parameters
    ----------
    label
        What it is the bar of.
    length
        How long it is; None where there is no figure, and the text says why.
    text
        The figure beside it.
    accent
        Whether it is the one to look at.
    """

    label: str
    length: float | None
    text: str
    accent: bool = False


@dataclass(frozen=True)
class Panel:
    """Bars that belong together.

    Parameters
    ----------
    title
        What was measured.
    bars
        From top to bottom; the same labels in all panels of a picture.
    reference
        A length that is drawn as a line, and what is written at it.
    full
        The least length of a bar as wide as the panel; the panel has a scale of its own where its bars are longer.
    """

    title: str
    bars: Sequence[Bar]
    reference: tuple[float, str] | None = None
    full: float = 0.0


def draw(path: Path, headline: str, explanation: str, panels: Sequence[Panel], columns: int | None = None) -> None:
    """Save a picture of the panels.

    Parameters
    ----------
    path
        Where to; the extension says in which format.
    headline, explanation
        What there is to see, and what the figures are.
    panels
        What is drawn, row by row.
    columns
        Panels in a row; as few as fill the rows where it isn't said.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = columns or math.ceil(len(panels) / math.ceil(len(panels) / MOST_COLUMNS))
    rows = math.ceil(len(panels) / columns)
    bars = max(len(panel.bars) for panel in panels)
    height = rows * (0.8 + 0.27 * bars) + 1.5
    figure = Figure(figsize=(max(9.0, 3.2 + 2.5 * columns), height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, (panel, axis) in enumerate(zip(panels, axes, strict=False)):
        _draw_panel(axis, panel, with_labels=place % columns == 0)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    _write_around(figure, headline, explanation, height)
    figure.savefig(path, dpi=150)


def _write_around(figure: Any, headline: str, explanation: str, height: float) -> None:
    figure.tight_layout(rect=(0.01, 0.55 / height, 0.99, 1 - 0.85 / height), w_pad=1.5, h_pad=2.0)
    figure.text(0.015, 1 - 0.18 / height, headline, size=17, weight="bold", color=INK, va="top")
    figure.text(0.015, 1 - 0.55 / height, explanation, size=10.5, color=INK, va="top")
    footer = "\n".join(textwrap.wrap(f"{machine_line()}.  {command_line()}", int(figure.get_figwidth() * 16)))
    figure.text(0.015, 0.12 / height, footer, size=7.5, color=FAINT, va="bottom")


def _draw_panel(axis: Any, panel: Panel, with_labels: bool) -> None:
    lengths = [bar.length for bar in panel.bars if bar.length is not None]
    reference = panel.reference[0] if panel.reference is not None else 0.0
    whole = max([*lengths, reference, panel.full]) or 1.0
    for place, bar in enumerate(panel.bars):
        _draw_bar(axis, place, bar, whole)
    if panel.reference is not None:
        axis.axvline(reference, color=INK, linewidth=1.2, linestyle=(0, (3, 2)), zorder=0)
        axis.text(reference, -0.75, panel.reference[1], size=8, color=INK, ha="center", va="bottom")
    axis.set_title(panel.title, size=11.5, weight="bold", color=INK, loc="left", pad=14)
    axis.set_xlim(0, whole / FULL_WIDTH)
    axis.set_ylim(len(panel.bars) - 0.4, -0.7)
    axis.set_xticks([])
    axis.set_yticks(range(len(panel.bars)), [bar.label if with_labels else "" for bar in panel.bars], size=9.5)
    for label, bar in zip(axis.get_yticklabels(), panel.bars, strict=True):
        label.set(color=ACCENT if bar.accent else INK, weight="bold" if bar.accent else "normal")
    axis.tick_params(length=0)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    axis.spines["left"].set_color(QUIET)


def _draw_bar(axis: Any, place: int, bar: Bar, whole: float) -> None:
    gap = whole * 0.015
    if bar.length is None:
        axis.text(gap, place, textwrap.shorten(bar.text, 34, placeholder=" ..."), size=7, color=FAINT, va="center")
        return
    axis.barh(place, bar.length, height=0.72, color=ACCENT if bar.accent else QUIET)
    style: dict[str, Any] = {"color": ACCENT, "weight": "bold"} if bar.accent else {"color": INK}
    # On white, so that the line of the reference doesn't cross it.
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    axis.text(bar.length + gap, place, bar.text, size=9, va="center", zorder=3, bbox=ground, **style)
