"""How much the service did, in the text format of Prometheus."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from .workers.pool import Counts

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Totals:
    """Of one endpoint and status."""

    requests: int = 0
    seconds: float = 0.0
    sent: int = 0


@dataclass
class Metrics:
    """What was done since the service started."""

    by_answer: dict[tuple[str, int], Totals] = field(default_factory=lambda: defaultdict(Totals))

    def count(self, endpoint: str, status: int, seconds: float, sent: int) -> None:
        """Count an answer."""
        totals = self.by_answer[endpoint, status]
        totals.requests += 1
        totals.seconds += seconds
        totals.sent += sent

    def text(self, workers: Counts) -> str:
        """All figures."""
        lines = []
        for name, help_, attribute in (
            ("requests_total", "Requests that were answered.", "requests"),
            ("request_seconds_total", "Seconds that they took.", "seconds"),
            ("sent_bytes_total", "Bytes that were sent.", "sent"),
        ):
            lines += [f"# HELP nexus_xr_{name} {help_}", f"# TYPE nexus_xr_{name} counter"]
            lines += [
                f'nexus_xr_{name}{{endpoint="{endpoint}",status="{status}"}} {getattr(totals, attribute)}'
                for (endpoint, status), totals in sorted(self.by_answer.items())
            ]
        for name, value in vars(workers).items():
            kind = "gauge" if name in ("waiting", "busy") else "counter"
            lines += [f"# TYPE nexus_xr_workers_{name} {kind}", f"nexus_xr_workers_{name} {value}"]
        return "\n".join(lines) + "\n"
