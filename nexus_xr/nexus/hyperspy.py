"""Files that HyperSpy wrote: the metadata that it stored beside a signal, as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .attributes import text
from .tree import MetadataGroup

_WRITER = "hyperspy_nexus_v3"


def is_written_by_hyperspy(root_attributes: Mapping[str, Any]) -> bool:
    """Whether the root says that HyperSpy's NeXus writer made the file."""
    return text(root_attributes.get("file_writer")) == _WRITER


def restored_metadata(entry: MetadataGroup) -> MetadataGroup | None:
    """The original metadata of an entry, with `hyperspy_metadata` and `learning_results` beside it.

    None for an entry that has no such thing, and keeps its tree.
    """
    auxiliary = entry.get("auxiliary")
    if not isinstance(auxiliary, MetadataGroup):
        return None
    original = auxiliary.get("original_metadata")
    members = original.items() if isinstance(original, MetadataGroup) else ()
    restored = MetadataGroup((name, member) for name, member in members if name != "attrs")
    for name in ("hyperspy_metadata", "learning_results"):
        if name in auxiliary:
            restored[name] = auxiliary[name]
    return restored
