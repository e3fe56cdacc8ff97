"""The documents ``zarr.json`` of groups and arrays.

Source: the Zarr core specification, version 3; consolidated metadata as zarr-python writes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .arrays import ZarrArray
from .codecs.chain import documents
from .data_types import TEXT, data_type, fill_document
from .hierarchy import Hierarchy, ZarrGroup

Document = Mapping[str, Any]

_BYTE_ORDERS = {"<": "little", ">": "big", "=": sys.byteorder}


def array_document(array: ZarrArray) -> Document:
    """The document of an array."""
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(array.shape),
        "data_type": TEXT if array.is_text else data_type(array.element),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(array.chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "" if array.is_text else fill_document(array.fill),
        "codecs": [_array_codec(array), *documents(array.chain)],
        "attributes": array.attributes,
        "storage_transformers": [],
    }
    return {**document, "dimension_names": list(array.dims)} if array.dims else document


def _array_codec(array: ZarrArray) -> dict[str, Any]:
    """What makes bytes of an array."""
    if array.is_text:
        return {"name": "vlen-utf8"}
    order = _BYTE_ORDERS.get(array.element.byteorder)
    return {"name": "bytes"} if order is None else {"name": "bytes", "configuration": {"endian": order}}


def node_document(
    hierarchy: Hierarchy, path: str, document_of: Callable[[ZarrArray], Document] = array_document
) -> Document | None:
    """The document of a group with those of what is below it, or of an array; None where there is neither.

    Parameters
    ----------
    hierarchy
        All groups and arrays.
    path
        Path of the group or array.
    document_of
        Makes the document of an array.
    """
    if path in hierarchy.arrays:
        return document_of(hierarchy.arrays[path])
    if path not in hierarchy.groups:
        return None
    start = f"{path}/" if path else ""
    nodes = (*hierarchy.groups, *hierarchy.arrays)
    shown = [node for node in nodes if node.startswith(start) and node != path and not hierarchy.is_apart(node)]
    below = {
        node[len(start) :]: document_of(hierarchy.arrays[node])
        if node in hierarchy.arrays
        else _group_document(hierarchy.groups[node])
        for node in sorted(shown, key=_group_above)  # zarr-python takes members of a group that are apart for another's
    }
    consolidated = {"kind": "inline", "must_understand": False, "metadata": below}
    return {**_group_document(hierarchy.groups[path]), "consolidated_metadata": consolidated}


def _group_document(group: ZarrGroup) -> Document:
    return {"zarr_format": 3, "node_type": "group", "attributes": group.attributes}


def _group_above(node: str) -> list[str]:
    return node.split("/")[:-1]


def encoded(document: Document) -> bytes:
    """A document as it is stored."""
    return json.dumps(document, allow_nan=False).encode()
