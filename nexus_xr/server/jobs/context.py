"""What a worker process has at hand for every request: the folders, the limits, and what it found out before."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

from numpy.typing import NDArray

from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.policy import ReadingPolicy
from nexus_xr.hdf5.io.superblock import has_hdf5_signature
from nexus_xr.hdf5.runtime.memory import Recent, chunks_kept_in, results_in
from nexus_xr.opening.options import Options
from nexus_xr.opening.select import Opening, describe_with
from nexus_xr.server.failures import Failure
from nexus_xr.server.settings import Settings
from nexus_xr.zarr.view import ZarrView

from .answer import Answer
from .kept import Kept
from .served_files import ServedFile, State, file_at, reach_of
from .values.blocks import Blocks
from .values.selection import Selection
from .values.served_array import ServedArray

_MOST_ANSWER_BYTES = 16 << 20
_MOST_ARRAYS, _MOST_VIEWS, _MOST_ENTRIES = 256, 16, 500_000
_Found = TypeVar("_Found")


class Entry(NamedTuple):
    """What is in a folder.

    Attributes
    ----------
    name
        What it is called.
    is_folder
        Whether it is a folder and no file.
    is_link
        Whether it is a symbolic link, of which that isn't known.
    """

    name: str
    is_folder: bool
    is_link: bool = False


class Listing(NamedTuple):
    """What was in a folder when it was looked at last.

    Attributes
    ----------
    state
        The state that it was in, if a change since then shows; None otherwise.
    entries
        What was there, in order.
    """

    state: State | None
    entries: Sequence[Entry]


@dataclass
class Context:
    """What a worker process has at hand.

    Parameters
    ----------
    settings
        What the service was told.
    arrays, views, answers, listings
        What was found out before.
    room
        Where the answer is laid in the end.
    """

    settings: Settings
    arrays: Kept[ServedArray] = field(default_factory=lambda: Kept(_MOST_ARRAYS))
    views: Kept[ZarrView] = field(default_factory=lambda: Kept(_MOST_VIEWS))
    room: memoryview = field(default_factory=lambda: memoryview(bytearray()))
    answers: Kept[Answer] = field(default_factory=lambda: Kept(_MOST_ANSWER_BYTES))
    listings: Kept[Listing] = field(default_factory=lambda: Kept(_MOST_ENTRIES))

    def __post_init__(self) -> None:
        # Every request reads without help: it is other requests that keep the other cores busy.
        self.options = Options(num_threads=1)
        self._reach = reach_of(self.settings.folders)
        self._policy = ReadingPolicy(self.options.num_threads, reach=self._reach)
        self._answering: ExitStack | None = None
        self._chunks = Recent(self.settings.limits.chunks_kept)
        self._chunks_of: ServedFile | None = None

    @contextmanager
    def answering(self, room: memoryview) -> Iterator[None]:
        """Answer one request in a ``with`` block, for whose length the file that is asked for stays open.

        Parameters
        ----------
        room
            Where the answer is laid in the end.
        """
        self.room = room
        with ExitStack() as stack:
            self._answering = stack
            stack.callback(setattr, self, "_answering", None)
            yield

    def place(self, address: str, tag: str = "") -> ServedFile:
        """The file of an address, as it is now.

        Raises
        ------
        Failure
            There is none, or it changed since it was in the state of the tag.
        """
        place = file_at(self.settings.folders, address)
        if tag and tag != place.tag:
            raise Failure(409, f"{address} changed while it was sent; ask for all of it again")
        if place != self._chunks_of:
            self.forget_chunks()
            self._chunks_of = place
        if self._answering is not None:
            self._answering.enter_context(self._reach.holding(place.path))
        return place

    def described(self, place: ServedFile, work: Callable[[Opening], _Found]) -> _Found:
        """What a function finds in an open file.

        Raises
        ------
        Failure
            It is no HDF5 file.
        NexusError
            It can't be described.
        """
        return describe_with(work, self.file(place), self.options)

    def file(self, place: ServedFile) -> File:
        """An HDF5 file, from which nothing that isn't served is reached.

        Raises
        ------
        Failure
            It is no HDF5 file.
        """
        with self.opened(place) as stream:
            if not has_hdf5_signature(stream):
                raise Failure(415, f"{place.address} isn't an HDF5 file; choose another from /api/files")
        return File(place.path, policy=self._policy)

    def room_for(self, size: int) -> memoryview:
        """Room for so many bytes, from where they need not be copied to be sent if they aren't very many."""
        return self.room[:size] if size <= len(self.room) else memoryview(bytearray(size))

    def values(self, array: ServedArray, selection: Selection) -> NDArray[Any]:
        """Values of an array, which are of use for one answer: they may lie where that is laid."""
        with results_in(self.room):
            return array.read(selection)

    def part(self, array: ServedArray, selection: Selection, blocks: Blocks, number: int) -> NDArray[Any]:
        """Values of one block of what is asked for, as `values` gives them.

        Chunks of which other blocks have a part are decoded once, as long as this process is asked for these.
        """
        are_kept = blocks.count > 1 and array.shared_bytes(selection, blocks) <= self.settings.limits.chunks_kept
        with chunks_kept_in(self._chunks) if are_kept else nullcontext():
            values = self.values(array, selection.restricted(blocks.block(number).within))
        if number == blocks.count - 1:
            self.forget_chunks()
        return values

    @property
    def has_chunks(self) -> bool:
        """Whether decoded chunks are kept for more parts of an answer."""
        return not self._chunks.is_empty

    def forget_chunks(self) -> bool:
        """Give the memory of decoded chunks back; whether there were any."""
        return self._chunks.clear()

    def opened(self, place: ServedFile) -> BinaryIO:
        """The bytes of a file."""
        return cast(BinaryIO, os.fdopen(self._reach.open(place.path), "rb", buffering=0))

    def answer(self, place: ServedFile, job: Hashable, work: Callable[[Opening], tuple[Answer, bool]]) -> Answer:
        """An answer that stays as long as the file is in one state, where nothing else has a part in it.

        Parameters
        ----------
        place
            The file.
        job
            What is asked.
        work
            Gives the answer, and whether nothing else has a part in it.
        """
        kept = self.answers.get((place, job))
        if kept is not None:
            return kept
        answer, is_of_file_alone = self.described(place, work)
        answer = replace(answer, has_others=not is_of_file_alone)
        if is_of_file_alone and place.is_settled:
            answer = replace(answer, lasts_with=place.address)
            self.answers.put((place, job), answer, len(answer.body))
        return answer
