"""Whole files, damaged in thousands of ways: they open, or there is an error that says what is wrong.

Run as ``python -m tests.fuzz_files FOLDER FIRST LAST`` it tries the damages of these numbers, always the same, on the
HDF5 files below a folder. Each file is described in two other processes, once from its bytes and once by libhdf5, which
may crash or never come back. Where both read something and it isn't the same, that is told.
"""

from __future__ import annotations

import collections
import hashlib
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nexus_xr.hdf5.format.checksum import CHECKSUM_BYTES, lookup3

from .child import Child, EndedError, answer_all

_PATIENCE_SECONDS = 20
_MOST_MEMORY = 4 << 30
_LARGEST_FILE = 300_000
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What structures of the format begin with.
_STRUCTURE = re.compile(
    rb"\x89HDF\r\n\x1a\n|OHDR|OCHK|TREE|SNOD|HEAP|GCOL|FRHP|FHDB|FHIB|BTHD|BTIN|BTLF|FAHD|FADB|EAHD|EAIB|EASB|EADB|SMTB|SMLI"
)
# What messages of object headers of version 1 begin with: kind, size and flags.
_MESSAGE = re.compile(rb"[\x01-\x08\x0b-\x0d\x10-\x17]\0[\x08\x10\x18\x20\x28\x30\x38\x40-\xf8]\0[\0-\3]\0\0\0")
# How often a checksum is made right again, so that more than checksums is tried.
_MENDED = 0.5


# --- damage ----------------------------------------------------------------------------------------------------


def damaged(content: bytes, random_: random.Random) -> bytes:
    """Bytes of a file with one damage: of some bytes, of a stretch, of its end, or of what a structure says."""
    kind = random_.random()
    changed = bytearray(content)
    if kind < 0.3:
        for _ in range(random_.randint(1, 4)):
            at = random_.randrange(len(changed))
            changed[at] = random_.choice(
                (0, 255, 127, 128, random_.randrange(256), changed[at] ^ 1 << random_.randrange(8))
            )
    elif kind < 0.4:
        at, length = random_.randrange(len(changed)), random_.randint(4, 64)
        changed[at : at + length] = random_.choice((bytes(length), b"\xff" * length, random_.randbytes(length)))
        del changed[len(content) :]
    elif kind < 0.45:
        del changed[random_.randrange(1, len(changed)) :]
    else:
        damage_structure(changed, random_)
    return bytes(changed)


def damage_structure(content: bytearray, random_: random.Random) -> None:
    """Change a number of a structure: a version, a flag, a count, a length or an address."""
    starts = [found.start() for found in random_.choice((_STRUCTURE, _STRUCTURE, _MESSAGE)).finditer(content)]
    if not starts:
        return
    start = random_.choice(starts)
    width = random_.choice((1, 1, 1, 2, 2, 4, 8, 8))
    at = min(start + 4 + random_.randrange(0, random_.choice((12, 60, 300))), len(content) - width)
    number = int.from_bytes(content[at : at + width], "little")
    most = (1 << 8 * width) - 1
    near = (number + 1, number - 1, number * 2)
    far = (0, 1, most, most >> 1, 1 << 60, len(content), random_.randint(0, most))
    value = random_.choice((*near, *far, start, random_.choice(starts)))  # addresses, too, of itself and of others
    content[at : at + width] = (value & most).to_bytes(width, "little")
    if random_.random() < _MENDED:
        _mend_checksum(content, start)


def _mend_checksum(content: bytearray, start: int) -> None:
    """Make the checksum of a structure right, where it is known how long that is."""
    end = _end_of(bytes(content[start : start + 64]), start)
    if end is not None and start < end <= len(content) - CHECKSUM_BYTES:
        content[end : end + CHECKSUM_BYTES] = lookup3(bytes(content[start:end])).to_bytes(CHECKSUM_BYTES, "little")


def _end_of(head: bytes, start: int) -> int | None:
    if head.startswith(b"OHDR") and len(head) > 40:
        flags = head[5]
        before = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        return start + before + width + int.from_bytes(head[before : before + width], "little")
    if head.startswith(_SIGNATURE) and head[8:9] in (b"\x02", b"\x03"):
        return start + 44
    lengths = {b"BTHD": 34, b"EAHD": 68, b"FAHD": 24, b"FRHP": 142}
    return start + lengths[head[:4]] if head[:4] in lengths else None


# --- what is in a file -------------------------------------------------------------------------------------------


def described_by(library: str, path: str) -> dict[str, str]:
    """What is at each path of a file: a digest of its shape, type, attributes, and values if they are small."""
    import warnings
    from unittest import mock

    import nexus_xr
    from nexus_xr.diagnostics import Diagnostics
    from nexus_xr.hdf5.io.file import File
    from nexus_xr.hdf5.library import addresses
    from nexus_xr.hdf5.library.described import described
    from nexus_xr.hdf5.library.group import root_of

    warnings.simplefilter("ignore")
    file = File(path)
    try:
        if library == "libhdf5":
            all_by_itself = mock.patch.object(addresses, "_FEW_REFERENCES", _MOST_OBJECTS << 20)
            with all_by_itself, file.opened() as handle:
                return dict(_tree(root_of(handle, Diagnostics())))
        with described(file, Diagnostics()) as root:
            found = dict(_tree(root))
        nexus_xr.read_metadata(path)
        nexus_xr.open_signals(path)
        return found
    finally:
        file.close()


_MOST_OBJECTS = 2000
_SMALL_BYTES = 4096


def _tree(root: Any) -> Iterator[tuple[str, str]]:
    from nexus_xr.hdf5.objects.dataset import Dataset
    from nexus_xr.hdf5.objects.group import Group
    from nexus_xr.hdf5.reading.small_values import read_whole

    waiting, seen = [root], {root.address}
    for _ in range(_MOST_OBJECTS):
        if not waiting:
            return
        node = waiting.pop()
        for name, value in node.read_attributes().items():
            yield f"{node.path}@{name}", _digest(value)
        if isinstance(node, Group):
            for name, member, is_soft in node.members():
                kind = next((each.__name__ for each in (Group, Dataset) if isinstance(member, each)), str(member))
                yield f"{node.member_path(name)}", _digest((kind, is_soft))
                if isinstance(member, Dataset) or (isinstance(member, Group) and member.address not in seen):
                    seen.add(member.address)
                    waiting.append(member)
        else:
            yield f"{node.path} type", _digest((node.shape, str(node.raw_dtype)))
            if node.why_no_array is None and node.nbytes <= _SMALL_BYTES:
                with suppress(Exception):  # a value that can't be read is told by who asks for it
                    yield f"{node.path} value", _digest(read_whole(node))


def _digest(value: Any) -> str:
    return hashlib.sha256(_shown(value).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _shown(value: Any) -> str:
    """A text that is the same for what is the same, bit for bit."""
    import h5py
    import numpy as np

    if isinstance(value, dict):
        return "{" + ",".join(f"{name!r}:{_shown(each)}" for name, each in value.items()) + "}"
    if isinstance(value, np.ndarray | np.void) and value.dtype.names is not None:
        return _shown({name: value[name] for name in value.dtype.names})  # without what is between them
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return f"{value.shape}[" + ",".join(map(_shown, value.flat)) + "]"
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype}{value.shape}{np.ascontiguousarray(value).tobytes()!r}"
    if isinstance(value, h5py.Empty):
        return f"empty {value.dtype}"
    return f"{type(value).__name__}{value!r}"


# --- two processes -------------------------------------------------------------------------------------------------


def _answer(library: str, path: str) -> dict[str, Any]:
    """What is in a file; or an error, and whether it is one that may be."""
    from nexus_xr.errors import NexusError

    try:
        return {"found": described_by(library, path)}
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}", "is_allowed": isinstance(error, NexusError)}


Names = tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What came of one damaged file.

    Parameters
    ----------
    kind
        What happened here: ``read``, ``refused``, or what must not be.
    libhdf5
        What happened with libhdf5.
    differences
        What both read and isn't the same.
    missing, more
        What only libhdf5 reads, and what it doesn't.
    """

    kind: str
    libhdf5: str
    differences: Names = ()
    missing: Names = ()
    more: Names = ()


def try_file(path: Path, ours: Child, theirs: Child) -> Verdict:
    """Describe a file both ways."""
    here, there = _asked(ours, path), _asked(theirs, path)
    if "found" not in here or "found" not in there:
        return Verdict(_kind(here), _kind(there))
    found, expected = here["found"], there["found"]
    return Verdict(
        _kind(here),
        _kind(there),
        tuple(name for name in found.keys() & expected.keys() if found[name] != expected[name]),
        tuple(expected.keys() - found.keys()),
        tuple(found.keys() - expected.keys()),
    )


def _asked(child: Child, path: Path) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = child.ask(str(path))
        return answer
    except EndedError as error:
        return {"error": str(error), "has_ended": True}


def _kind(answer: dict[str, Any]) -> str:
    if "found" in answer:
        return "read"
    if answer.get("is_allowed"):
        return "refused"
    if answer.get("has_ended"):
        return str(answer["error"])
    return f"another error: {answer['error']}"


# --- the files -----------------------------------------------------------------------------------------------------


@cache
def small_files(folder: str) -> tuple[Path, ...]:
    """The HDF5 files below a folder that are small."""
    found = (each for each in sorted(Path(folder).rglob("*")) if each.is_file() and not each.is_symlink())
    return tuple(each for each in found if each.stat().st_size <= _LARGEST_FILE and _is_hdf5(each))


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_SIGNATURE)) == _SIGNATURE


def write_damaged(folder: str, number: int, target: Path) -> Path:
    """Write the damaged file of a number, and give the file that it was."""
    random_ = random.Random(f"file {number}")
    files = small_files(folder)
    original = files[number % len(files)] if number < len(files) else random_.choice(files)
    target.write_bytes(damaged(original.read_bytes(), random_))
    return original


LIBRARIES = ("bytes", "libhdf5")


def main(folder: str, first: str, last: str) -> int:
    """Try the damages of these numbers, print what must not be, and count all else."""
    counts: collections.Counter[str] = collections.Counter()
    kept = Path(tempfile.mkdtemp(prefix="nexus_xr-fuzz-"))
    ours, theirs = (
        Child("tests.fuzz_files", "--describe-with", library, patience=_PATIENCE_SECONDS) for library in LIBRARIES
    )
    faults = 0
    try:
        for number in range(int(first), int(last)):
            path = kept / f"{number}.h5"
            original = write_damaged(folder, number, path)
            verdict = try_file(path, ours, theirs)
            counts.update(_counted(verdict))
            is_fault = verdict.kind not in ("read", "refused") or bool(verdict.differences)
            faults += is_fault
            if is_fault or verdict.missing:
                print(f"{path} (of {original}): {_told(verdict)}", flush=True)
            else:
                path.unlink()
    finally:
        ours.end()
        theirs.end()
    print(*(f"{count:7} {what}" for what, count in sorted(counts.items())), sep="\n")
    return min(faults, 1)


def _counted(verdict: Verdict) -> Iterator[str]:
    yield f"here: {verdict.kind.partition(': ')[0]}"
    yield f"libhdf5: {verdict.libhdf5.partition(': ')[0]}"
    for what in ("differences", "missing", "more"):
        if getattr(verdict, what):
            yield f"files with {what}"


def _told(verdict: Verdict) -> str:
    if verdict.kind not in ("read", "refused"):
        return f"{verdict.kind}; libhdf5: {verdict.libhdf5}"
    lists = {"differs": verdict.differences, "only libhdf5 reads": verdict.missing}
    return "; ".join(f"{what} {', '.join(sorted(names)[:_TOLD])}" for what, names in lists.items() if names)


_TOLD = 4

if __name__ == "__main__":
    if sys.argv[1] == "--describe-with":
        answer_all(lambda path: _answer(sys.argv[2], path), _MOST_MEMORY)
    else:
        sys.exit(main(*sys.argv[1:]))
