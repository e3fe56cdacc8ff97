"""Files and folders that take their place only when they are complete."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError
from nexus_xr.hdf5.io.locks import Lock, alone
from nexus_xr.hdf5.io.naming.url_path import is_url, said_of, shown, words_of
from nexus_xr.hdf5.io.remote.urls import local_path

from .claims import claim_of, remove_abandoned
from .store_folder import refuse_others
from .target_path import beside, refuse_impossible, target_path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """A name to write under, beside the target, which the file gets at the end of a ``with`` block that succeeds.

    Raises
    ------
    NexusFileError
        It can't be written there, is no file of this machine, or there is something that no file replaces.
    """
    if is_url(local_path(os.fspath(path))):
        raise NexusFileError(
            f"{shown(os.fspath(path))}: is a URL, and this goes into a file of this machine; send that then"
        )
    target = target_path(path)
    if not os.path.isdir(os.path.dirname(target)):
        raise _no_folder(path)
    with _explained(path), _claimed(target) as token:
        folder = beside(target, token, "part")
        try:
            os.mkdir(folder)  # without which threads that an interrupt has left behind open no file anew
            temporary = os.path.join(folder, os.path.basename(target))
            yield temporary
            os.replace(temporary, target)
        finally:
            remove_folders(folder)


@contextmanager
def replacing_folder(path: str | os.PathLike[str], is_new: bool) -> Iterator[Path]:
    """A folder beside a target, a Zarr store, which takes its place at the end of a ``with`` block unless that raises.

    Parameters
    ----------
    path
        The target; behind symbolic links, what these lead to.
    is_new
        Whether there must be nothing.

    Raises
    ------
    NexusError
        There is something already that isn't to be replaced, or isn't of a Zarr store.
    NexusFileError
        It can't be written there.
    """
    target = Path(os.path.realpath(path))
    refuse_impossible(str(target), os.fspath(path))
    if target.exists() and not target.is_dir():
        raise NexusError(f"{path}: is a file, which no folder replaces; choose another place")
    if not target.parent.is_dir():
        raise _no_folder(path)
    with _explained(path), _claimed(str(target)) as token:
        made, replaced = (Path(beside(str(target), token, kind)) for kind in ("part", "old"))
        _refuse_to_replace(path, is_new)
        try:
            made.mkdir()
            yield made
            _refuse_to_replace(path, is_new)
            if target.exists():
                target.rename(replaced)
            made.rename(target)
        finally:
            _remove_left(str(target), token)


def _refuse_to_replace(path: str | os.PathLike[str], is_new: bool) -> None:
    if os.path.exists(path):
        if is_new:
            raise stands_there(path)
        refuse_others(os.fspath(path))


@contextmanager
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except NexusError:
        raise
    except OSError as error:
        raise unwritten(path, error) from error


@contextmanager
def _claimed(target: str) -> Iterator[str]:
    """A token, for a ``with`` block, for what lies beside a target; what writers that were killed left there goes."""
    token = secrets.token_hex(4)
    with alone(target):
        remove_abandoned(target, partial(_remove_left, target))
        claim = Lock(claim_of(target, token))
    try:
        yield token
    finally:
        claim.close()


def _remove_left(target: str, token: str) -> None:
    """Remove what has a token, but for what stood there, which goes back where nothing has come in its place."""
    part, old = (beside(target, token, kind) for kind in ("part", "old"))
    if os.path.exists(old) and not os.path.exists(target):  # an interrupt came in between
        os.rename(old, target)
    remove_folders(part, old)
    with suppress(OSError):  # a file, which somebody else began
        os.unlink(part)


def refuse_source(target: str | os.PathLike[str], source: str | os.PathLike[str]) -> None:
    """Raise an error where a target is the file that it is to be made of, by whatever name, or holds that.

    Parameters
    ----------
    target
        A path, at which there may be nothing.
    source
        What is read; where it is no local file, nothing is lost.

    Raises
    ------
    NexusError
        What is read would be lost.

    Examples
    --------
    >>> _ = Path("scan.nxs").write_bytes(b"")
    >>> os.symlink("scan.nxs", "latest.png")
    >>> refuse_source("latest.png", "scan.nxs")
    Traceback (most recent call last):
    nexus_xr.errors.NexusError: latest.png: is the file that it would be made of (scan.nxs); choose another name
    """
    names = os.fspath(target), os.fspath(source)
    place, found = (Path(os.path.realpath(local_path(name))) for name in names)
    if not found.is_file() or not os.path.exists(place):
        return
    if os.path.samefile(place, found):
        raise NexusError(f"{names[0]}: is the file that it would be made of ({names[1]}); choose another name")
    if place in found.parents:
        raise NexusError(f"{names[0]}: holds the file that it would be made of ({names[1]}); choose another place")


def stands_there(target: object) -> NexusError:
    """The error where a folder, or a store, isn't to be replaced."""
    return NexusError(f'{target}: is there already; choose another place, or replace it with mode="w"')


def _no_folder(path: str | os.PathLike[str]) -> NexusFileNotFoundError:
    return NexusFileNotFoundError(f"{os.fspath(path)}: can't be written, as there is no such folder")


def remove_folders(*folders: str | os.PathLike[str]) -> None:
    """Remove folders with all that is in them; an interrupt that comes meanwhile is raised when they are gone."""
    interrupt: KeyboardInterrupt | None = None
    for folder in folders * 3:  # as threads that another one has left behind may still make a file in them
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def unwritten(path: str | os.PathLike[str], error: Exception) -> NexusFileError:
    """The error of what the system, or what is written to, doesn't let be written.

    Examples
    --------
    >>> unwritten("scan.csv", OSError(28, "No space left on device"))
    NexusFileError("scan.csv: can't be written (No space left on device)")
    """
    name = os.fspath(path)
    said = (error.strerror or error) if isinstance(error, OSError) else words_of(error)
    return NexusFileError(f"{shown(name)}: can't be written ({said_of(name, said)})")
