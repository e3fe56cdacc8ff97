"""How much the service did, in the text format of Prometheus: in all of its processes, which count in common memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from .workers.pool import Counts

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"
_STATUSES = range(100, 600)
_FIGURES = (
    ("requests_total", "Requests that were answered."),
    ("request_seconds_total", "Seconds that they took."),
    ("sent_bytes_total", "Bytes that were sent."),
)
_OF_WORKERS = tuple(each.name for each in fields(Counts))
_ITEM = 8


def bytes_of_figures(endpoints: Sequence[str], processes: int = 1) -> int:
    """How much memory the figures of so many processes take."""
    return _ITEM * processes * _length(endpoints)


def _length(endpoints: Sequence[str]) -> int:
    return len(_OF_WORKERS) + len(endpoints) * len(_STATUSES) * len(_FIGURES)


@dataclass
class Metrics:
    """What was done since the service started.

    Parameters
    ----------
    endpoints
        What is counted apart; the last is for all that is none of them.
    memory
        The figures of all processes, zeros at first.
    workers
        What became of this process's workers.
    process
        Which of the processes this is.
    """

    endpoints: tuple[str, ...]
    memory: memoryview
    workers: Counts
    process: int = 0

    def __post_init__(self) -> None:
        length = _length(self.endpoints)
        self._own = self.memory.cast("B").cast("d")[self.process * length :][:length]
        self._first = {name: self._index(number, 0) for number, name in enumerate(self.endpoints)}

    def _index(self, endpoint: int, status: int) -> int:
        return len(_OF_WORKERS) + (endpoint * len(_STATUSES) + status) * len(_FIGURES)

    def count(self, endpoint: str, status: int, seconds: float, sent: int) -> None:
        """Count an answer."""
        at = self._first[endpoint] + (status - _STATUSES.start) * len(_FIGURES)
        own = self._own
        own[at] += 1
        own[at + 1] += seconds
        own[at + 2] += sent
        self._note_workers()

    def _note_workers(self) -> None:
        for number, name in enumerate(_OF_WORKERS):
            self._own[number] = getattr(self.workers, name)

    def text(self) -> str:
        """All figures."""
        self._note_workers()
        totals = np.frombuffer(self.memory, np.float64).reshape(-1, _length(self.endpoints)).sum(axis=0)
        figures = totals[len(_OF_WORKERS) :].reshape(len(self.endpoints), len(_STATUSES), len(_FIGURES))
        answered = sorted(
            (self.endpoints[each], _STATUSES[status], each) for each, status in np.argwhere(figures[..., 0])
        )
        lines: list[str] = []
        for number, (name, help_) in enumerate(_FIGURES):
            lines += [f"# HELP nexus_xr_{name} {help_}", f"# TYPE nexus_xr_{name} counter"]
            lines += [
                f'nexus_xr_{name}{{endpoint="{path}",status="{status}"}} '
                f"{_number(figures[each, status - _STATUSES.start, number])}"
                for path, status, each in answered
            ]
        for name, value in zip(_OF_WORKERS, totals, strict=False):
            kind = "gauge" if name in ("waiting", "busy") else "counter"
            lines += [f"# TYPE nexus_xr_workers_{name} {kind}", f"nexus_xr_workers_{name} {_number(value)}"]
        return "\n".join(lines) + "\n"


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else float(value)
