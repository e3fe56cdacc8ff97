"""Text of HDF5 as Python text: UTF-8, or Latin-1 where the bytes aren't UTF-8."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_NAMES = 4096
# What NumPy has text of, in characters of four bytes each.
_WIDEST = (2**31 - 1) // 4


def decode(raw: bytes | str) -> str:
    r"""Text of a name, an attribute or a field.

    Examples
    --------
    >>> decode(b"\xc2\xb5m"), decode(b"\xb5m"), decode("\udcb5m")
    ('µm', 'µm', 'µm')
    """
    if isinstance(raw, str):
        # h5py hands on bytes that are not UTF-8 as surrogates.
        if raw.isascii():
            return raw
        raw = raw.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def encode(text: str) -> bytes:
    r"""Bytes of text as it is stored; those that aren't UTF-8 stand in it for themselves, as h5py hands them on.

    A UnicodeEncodeError where it has other surrogates, which stand for nothing.

    Examples
    --------
    >>> encode("µm"), encode("\udcb5m")
    (b'\xc2\xb5m', b'\xb5m')
    """
    return text.encode("utf-8", "surrogateescape")


def as_text(raw: bytes | str) -> str:
    r"""Text of which `encode` makes the same bytes again, other than of what is read for people.

    Examples
    --------
    >>> as_text(b"\xc2\xb5m"), as_text(b"\xb5m"), as_text("m")
    ('µm', '\udcb5m', 'm')
    """
    return raw if isinstance(raw, str) else raw.decode("utf-8", "surrogateescape")


def is_unicode(text: str) -> bool:
    r"""Whether text has no surrogates, which no encoding knows.

    Examples
    --------
    >>> is_unicode("µm"), is_unicode("\udcb5m")
    (True, False)
    """
    return text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)


def as_h5py_takes_it(text: str) -> str | bytes:
    """Text, or its bytes where it isn't Unicode, which h5py would refuse as text."""
    return text if is_unicode(text) else encode(text)


@lru_cache(_MOST_NAMES)
def decode_name(raw: bytes) -> str:
    """The name of a member or an attribute, of which a file has few for any number of objects."""
    return decode(raw)


def marks(dtype: np.dtype[Any]) -> Mapping[str, Any]:
    """What h5py notes on a dtype that NumPy has no dtype for."""
    return dtype.metadata or {}


def is_text(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype that h5py gives is one of strings, of fixed or variable length."""
    return dtype.kind == "S" or marks(dtype).get("vlen") in (str, bytes)


def text_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Dtype of the decoded text: as wide as a fixed-length string, or objects where the length varies.

    Examples
    --------
    >>> text_dtype(np.dtype("S5")), text_dtype(np.dtype("S536870912"))  # for which NumPy has no text
    (dtype('<U5'), dtype('O'))
    """
    is_fixed = dtype.kind == "S" and dtype.itemsize <= _WIDEST
    return np.dtype(f"U{max(dtype.itemsize, 1)}") if is_fixed else np.dtype(object)


def decode_array(values: NDArray[Any]) -> NDArray[Any]:
    r"""Decode every string of an array that h5py read.

    Examples
    --------
    >>> decode_array(np.array([b"mm", b"\xb5m"]))
    array(['mm', 'µm'], dtype='<U2')
    """
    if values.dtype.kind == "S":
        dtype = text_dtype(values.dtype)
        if dtype.kind == "U" and _is_ascii(values):
            return values.astype(dtype)
        return np.array(list(map(decode, values.flat)), dtype=dtype).reshape(values.shape)
    raw = values.ravel().tolist()
    # Each text that there is once, as the same one may stand for any number of elements.
    distinct = dict.fromkeys(raw)
    texts = _decoded(distinct)
    if len(distinct) < len(raw):
        decoded = dict(zip(distinct, texts, strict=True))
        texts = [decoded[each] for each in raw]
    return np.array(texts, dtype=object).reshape(values.shape)


def _is_ascii(values: NDArray[Any]) -> bool:
    """Whether texts of fixed length are of letters that are the same in every encoding."""
    return bytes(values).isascii()


def _decoded(raw: Collection[Any]) -> list[Any]:
    """Texts as `decode` makes them, those that are UTF-8, as nearly all are, without a call for each."""
    try:
        return list(map(bytes.decode, raw))
    except (UnicodeDecodeError, TypeError):
        return [decode(each) if isinstance(each, bytes | str) else each for each in raw]
