"""Messages that are said once for many objects, be it in the header of a committed object or in a heap for the file.

Source: the HDF5 file format specification, sections IV.A.2 (shared messages), III.I and IV.A.2.p (their table).
"""

from __future__ import annotations

from .checksum import CHECKSUM_BYTES, checked
from .faults import FormatError
from .fields import Fields
from .file_bytes import FileBytes
from .heaps.fractal_heap import FractalHeap, open_heap
from .messages.message_types import MessageType
from .object_header import first_of, read_object_header

_WHAT = "a shared message"
SHARED = 2
_MOST_STEPS = 8
_IN_HEAP = 1
_HEAP_ID_AT, _HEAP_ID_BYTES = 2, 8


class SharedTable:
    """The messages of a file that are in heaps, of which each has its kinds of messages.

    Parameters
    ----------
    file
        The bytes of the file.
    heaps
        Addresses of the heaps, by the kinds of messages that are there.
    """

    def __init__(self, file: FileBytes, heaps: dict[int, int]) -> None:
        self._file = file
        self._heaps = heaps
        self._opened: dict[int, FractalHeap] = {}

    def get(self, kind: int, heap_id: bytes) -> bytes:
        """A message of a kind.

        Raises
        ------
        FormatError
            There is no heap for them, or not this message in it.
        """
        address = self._heaps.get(kind)
        if address is None:
            raise FormatError(f"there is no heap of shared messages {kind}")
        heap = self._opened.get(address)
        if heap is None:
            heap = self._opened[address] = open_heap(self._file, address)
        return heap.get(heap_id)


def read_shared_table(file: FileBytes, extension: int | None) -> SharedTable:
    """The table of a file's shared messages, which is empty in most files.

    Parameters
    ----------
    file
        The bytes of the file.
    extension
        Address of the superblock's extension.

    Raises
    ------
    FormatError
        The extension or the table is damaged.
    """
    if extension is None:
        return SharedTable(file, {})
    header = read_object_header(file, extension)
    message = first_of(header, MessageType.SHARED_TABLE)
    if message is None:
        return SharedTable(file, {})
    fields = Fields(message, _WHAT)
    fields.expect(bytes(1))
    address, count = fields.number(file.offset_size), fields.number(1)
    # Versions, kinds of messages, when the index is of which kind, and addresses.
    size = 4 + count * (14 + 2 * file.offset_size)
    table = Fields(checked(file.read(address, size + CHECKSUM_BYTES), _WHAT), _WHAT)
    table.expect(b"SMTB")
    return SharedTable(file, dict(pair for _ in range(count) for pair in _heaps(table, file)))


def _heaps(table: Fields, file: FileBytes) -> list[tuple[int, int]]:
    """The kinds of messages of the next index, and their heap."""
    table.expect(bytes(1))
    table.take(1)
    kinds = table.number(2)
    table.take(4 + 2 + 2 + 2 + file.offset_size)
    heap = table.number(file.offset_size)
    return [(kind, heap) for kind in range(16) if kinds >> kind & 1]


def resolve(file: FileBytes, kind: int, flags: int, content: bytes, table: SharedTable) -> bytes:
    """What a message says, wherever it is said.

    Parameters
    ----------
    file
        The bytes of the file.
    kind, flags, content
        The message.
    table
        The messages of the file that are in heaps.

    Raises
    ------
    FormatError
        It isn't where the message says, or there is no end to where it leads.
    """
    for _ in range(_MOST_STEPS):
        if not flags & SHARED:
            return content
        address = committed_at(file, content)
        if address is None:
            return table.get(kind, Fields(content, _WHAT, _HEAP_ID_AT).take(_HEAP_ID_BYTES))
        messages = read_object_header(file, address).get(kind)
        if not messages:
            raise FormatError(f"{_WHAT} {kind} isn't in the object header that it should be in")
        flags, content = messages[0]
    raise FormatError(f"{_WHAT} leads to others without end")


def committed_at(file: FileBytes, content: bytes) -> int | None:
    """The address of the object header that has a shared message, None where that is in a heap.

    Parameters
    ----------
    file
        The bytes of the file.
    content
        What says where it is.

    Raises
    ------
    FormatError
        Nothing is known of how that is said.
    """
    fields = Fields(content, _WHAT)
    version, where = fields.number(1), fields.number(1)
    if version == 3 and where == _IN_HEAP:
        return None
    if not 1 <= version <= 3:
        raise FormatError(f"{_WHAT} is of version {version}, of which nothing is known")
    if version == 1:
        # As libhdf5 has it, and other than specified: before the address is one that is not in use.
        fields.take(6 + file.length_size)
    return fields.number(file.offset_size)
