"""The compiled module, which is optional: where it could not be built, plain Python does the same.

Its functions take apart what a file has thousands of, and give None where that is damaged or unusual. Then plain Python
does it once more, and it alone says what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeVar

_T = TypeVar("_T")
# Flags and content of the messages of an object header, by their kinds.
Messages = dict[int, list[tuple[int, bytes]]]
# Blocks of a file by their numbers, bytes of a block, where addresses count from, bytes of a length and of an address.
Kept = tuple[dict[int, bytes], int, int, int, int]
# Name, kind, address, target and place in the order of a link.
LinkFields = tuple[bytes, int, int | None, bytes, int]
KnownTypes = dict[tuple[bytes, bytes], Any]
KnownHeads = dict[bytes, Any]
Collections = dict[int, dict[int, bytes]]
# A single text or number.
Single = str | int | float


def _nothing(*_: Any) -> None:
    """What there is where nothing is compiled."""


# By its name, as a module that may not be there can't be told from a typing error by those who check imports.
_parse: Any = None
with suppress(ImportError):
    _parse = import_module("nexus_xr.hdf5.format._parse")

# Bytes -> their checksum.
lookup3: Callable[[bytes], int] | None = getattr(_parse, "lookup3", None)
# The first bytes of an object header -> its messages, as far as it doesn't continue elsewhere.
header: Callable[[bytes], Messages | None] = getattr(_parse, "header", _nothing)
# A block of an object header, bytes before each message -> the messages.
messages: Callable[[bytes, int], Messages | None] = getattr(_parse, "messages", _nothing)
# Flags and content of messages; known heads of attributes (name, type, bytes of the data); objects of collections by
# their indexes, by the collections' addresses -> attributes by their names, a single text or number as such, others as
# type and data.
attributes: Callable[[list[tuple[int, bytes]], KnownHeads, Collections], dict[str, Any] | None]
attributes = getattr(_parse, "attributes", _nothing)
# What is kept of a file, known types by the messages that say them, known heads and objects as for attributes, and the
# address of an object header -> type, layout (address, if there is one, and size of what is in one piece; else the
# message), header, attributes as above, if all can be told, and the bytes of all elements, if they are few and kept.
dataset: Callable[[Kept, KnownTypes, KnownHeads, Collections, int], Any] = getattr(_parse, "dataset", _nothing)
# The same -> value and attributes of a dataset of a single element, if it and all of these are a text or a number.
single: Callable[[Kept, KnownTypes, KnownHeads, Collections, int], tuple[Single, dict[str, Single]] | None]
single = getattr(_parse, "single", _nothing)
# The same without types -> links and attributes of a group that has a symbol table, if all of these can be told.
group: Callable[[Kept, KnownHeads, Collections, int], tuple[list[LinkFields], dict[str, Any]] | None]
group = getattr(_parse, "group", _nothing)
# What is kept of a file, the addresses of a B-tree and of a local heap -> the links of the group that has these.
links: Callable[[Kept, int, int], list[LinkFields] | None] = getattr(_parse, "links", _nothing)
# What is kept of a file, the addresses of a heap and of the B-tree of its names -> the links, if they are in one block.
links_in_heap: Callable[[Kept, int, int], list[LinkFields] | None] = getattr(_parse, "links_in_heap", _nothing)
# Entries of a node of a symbol table, names of its group, how many bytes of names are left, bytes of a length and of an
# address -> the links, and how many bytes are left then.
entries: Callable[[bytes, bytes, int, int, int], tuple[list[LinkFields], int] | None]
entries = getattr(_parse, "entries", _nothing)
# Content of a message, bytes of an address -> the link that it describes.
link: Callable[[bytes, int], LinkFields | None] = getattr(_parse, "link", _nothing)
# The objects of a collection of the global heap, bytes of a length -> the objects by their indexes.
heap_objects: Callable[[bytes, int], dict[int, bytes] | None] = getattr(_parse, "heap_objects", _nothing)
# An element of varying length, objects of collections as for attributes -> its text.
text: Callable[[bytes, Collections], str | None] = getattr(_parse, "text", _nothing)
# A dictionary or a tuple -> the same, left out of the garbage collector's walks where it holds nothing that these would
# come to, as Python itself does with plain ones: a tree has many thousands, each of which they would go through. Since
# 3.14 a dictionary that is left out stays so, whatever is put into it later.
_comes_back = sys.version_info < (3, 14)
untracked: Callable[[_T], _T] = getattr(_parse if _comes_back else None, "untracked", lambda container: container)
