"""The blocks of remote files that were looked at last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from nexus_xr.hdf5.runtime.fork import after_fork

from .range_request import RangeRequest

# Blocks of all files that are kept.
MOST_KEPT_BYTES = 64 << 20


class KeptBlocks:
    """The requests for blocks that were looked at last, of all files together."""

    def __init__(self) -> None:
        self._start_anew()
        after_fork(self._start_anew)

    def _start_anew(self) -> None:
        self.lock = threading.Lock()
        self._by_block: dict[tuple[Hashable, int], RangeRequest] = {}
        self._blocks: OrderedDict[RangeRequest, list[tuple[Hashable, int]]] = OrderedDict()
        self._bytes = 0

    def find(self, file: Hashable, number: int) -> RangeRequest | None:
        """The request that has a block, None where none has."""
        request = self._by_block.get((file, number))
        if request is None:
            return None
        if request.has_failed:
            self._drop(request)
            return None
        self._blocks.move_to_end(request)
        return request

    def keep(self, file: Hashable, numbers: range, request: RangeRequest) -> None:
        for number in numbers:  # that another had, who opened the file anew
            if (file, number) in self._by_block:
                self._drop(self._by_block[file, number])
        self._blocks[request] = [(file, number) for number in numbers]
        self._by_block.update(dict.fromkeys(self._blocks[request], request))
        self._bytes += request.end - request.begin
        while self._bytes > MOST_KEPT_BYTES and len(self._blocks) > 1:
            self._drop(next(iter(self._blocks)))

    def _drop(self, request: RangeRequest) -> None:
        self._bytes -= request.end - request.begin
        for block in self._blocks.pop(request):
            del self._by_block[block]


kept_blocks = KeptBlocks()
