"""The service keeps to what it was told to serve, to whom, and how much: what its like get wrong is tried here."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock
from urllib.parse import urljoin, urlsplit

import h5py
import numpy as np
import pytest
import uvicorn
from starlette.testclient import TestClient

from nexus_xr.errors import NexusError, NexusFileChangedError, NexusFileError
from nexus_xr.hdf5.io.naming.reach import Reach
from nexus_xr.hdf5.io.superblock import HDF5_SIGNATURE
from nexus_xr.server import Limits, app, serve
from nexus_xr.server.access.hosts import KnownHosts
from nexus_xr.server.deadline import Deadline
from nexus_xr.server.endpoints.presence import ClientGoneError, Presence
from nexus_xr.server.endpoints.replies import InPieces
from nexus_xr.server.endpoints.responses import BrokenOffError, failure_response
from nexus_xr.server.endpoints.table import ENDPOINTS
from nexus_xr.server.failures import Failure, failure_of, without_places
from nexus_xr.server.jobs.answer import Answer
from nexus_xr.server.jobs.context import Context
from nexus_xr.server.jobs.data import ReadData
from nexus_xr.server.jobs.job import Job
from nexus_xr.server.jobs.listing import ListFolder
from nexus_xr.server.jobs.meta import ReadMeta
from nexus_xr.server.jobs.ranges import PART_BYTES
from nexus_xr.server.jobs.served_files import file_at
from nexus_xr.server.jobs.zarr import ReadKey
from nexus_xr.server.metrics import OTHER, Metrics, bytes_of_figures
from nexus_xr.server.observed import Observed, log
from nexus_xr.server.settings import Folder, Settings, folders_of, root_path_of, settings_of, token_of
from nexus_xr.server.speaking import Bounded, HeadsWithBodies, configured, log_requests, patient
from nexus_xr.server.workers import landlock
from nexus_xr.server.workers.held import Held, Memory
from nexus_xr.server.workers.messages import ROOMS
from nexus_xr.server.workers.places import Asker, Places
from nexus_xr.server.workers.pool import Counts, Pool
from nexus_xr.server.workers.starting import Nursery

from .corpus import CORPUS
from .fuzz_files import write_damaged
from .processes import run
from .services import HERE, TOKEN, client_of, data
from .waiting import PATIENCE_SECONDS, wait_until

SECRET = np.arange(1_934_607_100, 1_934_607_112, dtype="i4")
Value = TypeVar("Value")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder that is served, and beside it one that isn't, to which files lead in all ways that there are."""
    top = tmp_path_factory.mktemp("top")
    served, secret = top / "served", top / "served-not"
    served.mkdir()
    secret.mkdir()
    with h5py.File(secret / "secret.h5", "w") as file:
        file["x"] = SECRET
    (secret / "secret.bin").write_bytes(SECRET.tobytes())
    with h5py.File(served / "own.h5", "w") as file:
        file["x"] = np.arange(3)
    (served / "link.h5").symlink_to(secret / "secret.h5")
    (served / "folder").symlink_to(secret)
    with h5py.File(served / "ways.h5", "w") as file:
        file["external"] = h5py.ExternalLink(str(secret / "secret.h5"), "/x")
        file["relative"] = h5py.ExternalLink("../served-not/secret.h5", "/x")
        file["by link"] = h5py.ExternalLink("link.h5", "/x")
        file["inside"] = h5py.ExternalLink("own.h5", "/x")
        layout = h5py.VirtualLayout(SECRET.shape, "i4")
        layout[:] = h5py.VirtualSource(str(secret / "secret.h5"), "x", SECRET.shape)
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", SECRET.shape, "i4", external=[(str(secret / "secret.bin"), 0, SECRET.nbytes)])
    return served, secret


@pytest.fixture(scope="module")
def client(folders: tuple[Path, Path]) -> Iterator[TestClient]:
    with client_of(folders[0]) as client:
        yield client


# --- nothing but what lies below the folders -------------------------------------------------------------------------

WAYS_OUT = (
    "../served-not/secret.h5",
    "..%2Fserved-not%2Fsecret.h5",
    "folder/secret.h5",
    "link.h5",
    "own.h5/../../served-not/secret.h5",
    "..\\served-not\\secret.h5",
    "%2e%2e/served-not/secret.h5",
    "/etc/passwd",
    "own.h5%00.h5",
    "",
)
WITH_FILE = (
    "/api/meta/{}",
    "/api/data/{}?path=x",
    "/api/chunk/{}?path=x&chunk=0",
    "/file/{}",
    "/zarr/{}/zarr.json",
    "/zarr/{}/x/c/0",
    "/h5grove/meta?file={}",
    "/h5grove/data?file={}&path=x",
    "/h5grove/attr?file={}",
    "/h5grove/paths?file={}",
)


@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize("address", WITH_FILE)
def test_no_name_leads_out_of_the_folders(client: TestClient, address: str, way: str) -> None:
    answer = client.get(address.format(way))
    assert answer.status_code in (404, 422), answer.content
    assert SECRET.tobytes() not in answer.content


def test_what_leads_out_is_not_listed(client: TestClient) -> None:
    assert [item["name"] for item in client.get("/api/files").json()["items"]] == ["own.h5", "ways.h5"]
    assert client.get("/api/files/folder").status_code == 404
    assert client.get("/api/files/..").status_code == 404


@pytest.mark.parametrize("way", ["external", "relative", "by link", "virtual", "raw"])
@pytest.mark.parametrize(
    "address",
    [
        "/api/data/ways.h5?format=json&path={}",
        "/api/data/ways.h5?path={}",
        "/api/data/ways.h5?path={}&reduce=max",
        "/api/chunk/ways.h5?path={}&chunk=0",
        "/h5grove/data?file=ways.h5&path={}",
        "/zarr/ways.h5/{}/c/0",
    ],
)
def test_nothing_in_a_file_leads_out_of_the_folders(client: TestClient, address: str, way: str) -> None:
    answer = client.get(address.format(way))
    assert 400 <= answer.status_code < 600, answer.content
    assert "message" in answer.json()
    assert str(SECRET[0])[:-2] not in answer.text


def test_what_may_not_be_read_is_said_and_reads_as_nothing_else(client: TestClient) -> None:
    for way in ("virtual", "raw"):
        answer = data(client, "ways.h5", way, format="json")
        assert answer.status_code == 403
        message = answer.json()["message"]
        assert message.startswith(f"ways.h5:/{way}: the values can't be read (it is in a file outside of the folders")
        assert "secret" not in message
        assert "within" not in message
    described = client.get("/api/meta/ways.h5").json()
    links = {member["name"]: member for member in described["members"] if member["kind"] == "link"}
    assert set(links) == {"external", "relative", "by link"}
    assert "outside" in links["external"]["trouble"]


@pytest.mark.parametrize("way", ["virtual", "raw"])
def test_a_chunk_that_may_not_be_read_is_not_taken_for_one_that_is_not_there(client: TestClient, way: str) -> None:
    assert client.get(f"/zarr/ways.h5/{way}/zarr.json").status_code == 200
    answer = client.get(f"/zarr/ways.h5/{way}/c/0")
    assert answer.status_code == 422
    assert "outside" in answer.json()["message"]


@pytest.mark.parametrize("denied", ["open", "stat"])
def test_a_chunk_of_a_file_without_permission_is_not_taken_for_one_that_is_not_there(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    """Whose user has other rights than who runs the tests may have."""
    context = Context(Settings((Folder("", str(folders[0])),), None))
    error = PermissionError(13, "Permission denied", f"{folders[0]}/own.h5")
    monkeypatch.setattr(Reach if denied == "open" else os, denied, mock.Mock(side_effect=error))
    with pytest.raises(Failure, match=r"Permission denied of 'own\.h5") as caught:
        ReadKey("own.h5/x/c/0").answer(context)
    assert caught.value.status == 422
    with pytest.raises(Failure) as caught:
        ReadKey("own.h5/x/zarr.json").answer(context)
    assert caught.value.status == 403


@pytest.mark.parametrize("way", ["external", "relative", "by link"])
@pytest.mark.parametrize(
    "address",
    [
        "/api/data/ways.h5?path={}",
        "/api/chunk/ways.h5?path={}&chunk=0",
        "/h5grove/data?file=ways.h5&path={}",
        "/h5grove/attr?file=ways.h5&path={}",
        "/h5grove/meta?file=ways.h5&path={}&resolve_links=all",
    ],
)
def test_links_that_lead_out_are_refused_and_not_missed(client: TestClient, address: str, way: str) -> None:
    answer = client.get(address.format(way))
    assert answer.status_code == 403
    assert "Cannot resolve" in answer.json()["message"]
    assert "outside of the folders" in answer.json()["message"]


def test_other_files_of_the_folders_are_reached(client: TestClient) -> None:
    assert data(client, "ways.h5", "inside", format="json").json() == [0, 1, 2]


@pytest.fixture(scope="module")
def with_hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a folder that lies below one with a dot, and has hidden files and ways to these."""
    served = tmp_path_factory.mktemp("top") / ".above" / "served"
    (served / ".hidden").mkdir(parents=True)
    for path in (served / ".hidden/secret.h5", served / ".secret.h5"):
        with h5py.File(path, "w") as file:
            file["x"] = SECRET
    (served / ".secret.bin").write_bytes(SECRET.tobytes())
    (served / "link.h5").symlink_to(".hidden/secret.h5")
    (served / "folder").symlink_to(".hidden")
    (served / "two.dots..h5").write_bytes((served / ".secret.h5").read_bytes())
    with h5py.File(served / "ways.h5", "w") as file:
        file["external"] = h5py.ExternalLink(".hidden/secret.h5", "/x")
        file["external too"] = h5py.ExternalLink(".secret.h5", "/x")
        file["by link"] = h5py.ExternalLink("link.h5", "/x")
        for name, source in (("virtual", ".hidden/secret.h5"), ("virtual too", "folder/secret.h5")):
            layout = h5py.VirtualLayout(SECRET.shape, "i4")
            layout[:] = h5py.VirtualSource(source, "x", SECRET.shape)
            file.create_virtual_dataset(name, layout)
        raw = [(str(served / ".secret.bin"), 0, SECRET.nbytes)]
        file.create_dataset("raw", SECRET.shape, "i4", external=raw)
        file["shown"] = h5py.ExternalLink("./two.dots..h5", "/x")
    with client_of(served, limits=Limits(workers=1)) as client:
        yield client


@pytest.mark.parametrize("way", ["external", "external too", "by link", "virtual", "virtual too", "raw"])
@pytest.mark.parametrize("address", ["/api/data/ways.h5?path={}", "/h5grove/data?file=ways.h5&path={}"])
def test_nothing_in_a_file_leads_to_what_is_hidden(with_hidden: TestClient, address: str, way: str) -> None:
    answer = with_hidden.get(address.format(way))
    assert answer.status_code == 403, answer.content
    assert "outside of the folders" in answer.json()["message"]


def test_no_name_leads_to_what_is_hidden(with_hidden: TestClient) -> None:
    for name in ("link.h5", "folder/secret.h5", ".hidden/secret.h5", ".secret.h5"):
        assert with_hidden.get(f"/file/{name}").status_code == 404
    assert with_hidden.get("/api/files/folder").status_code == 404
    assert [item["name"] for item in with_hidden.get("/api/files").json()["items"]] == ["two.dots..h5", "ways.h5"]


def test_dots_above_what_is_served_and_within_names_hide_nothing(with_hidden: TestClient) -> None:
    for name, path in (("two.dots..h5", "x"), ("ways.h5", "shown")):
        assert data(with_hidden, name, path).content == SECRET.tobytes()


@pytest.mark.parametrize("address", WITH_FILE)
@pytest.mark.parametrize("content", [b"hunter22 and more", b""])
def test_nothing_is_said_of_files_of_another_kind(tmp_path: Path, address: str, content: bytes) -> None:
    (tmp_path / "passwords.txt").write_bytes(content)
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        answer = client.get(address.format("passwords.txt"))
    assert answer.status_code == 415
    assert "hunter" not in answer.text


def test_messages_do_not_say_where_the_folders_are(client: TestClient, folders: tuple[Path, Path]) -> None:
    (folders[0] / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    for address in (
        "/api/meta/broken.h5",
        "/api/data/broken.h5?path=x",
        "/api/meta/gone.h5",
        "/zarr/broken.h5/zarr.json",
    ):
        message = client.get(address).json()["message"]
        assert str(folders[0]) not in message
    assert client.get("/api/meta/broken.h5").status_code == 500
    (folders[0] / "broken.h5").unlink()


@pytest.mark.parametrize("ending", ["", "/"])
def test_messages_do_not_say_where_a_folder_is_that_was_taken_for_a_file(tmp_path: Path, ending: str) -> None:
    with h5py.File(tmp_path / "master.h5", "w") as file:
        layout = h5py.VirtualLayout(SECRET.shape, "i4")
        layout[:] = h5py.VirtualSource(f"{tmp_path}{ending}", "x", SECRET.shape)
        file.create_virtual_dataset("virtual", layout)
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        answer = data(client, "master.h5", "virtual")
    assert answer.status_code == 403
    assert answer.json()["message"].startswith(".: is no regular file")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("/data/run/a.h5", "run/a.h5"),
        ("/data/run", "run"),
        ("'/data/run': no", "'run': no"),
        ("/data/run-2/a.h5", "/data/run-2/a.h5"),
        ("/data/run.bak", "/data/run.bak"),
    ],
)
def test_places_are_left_out_of_words(words: str, said: str) -> None:
    assert without_places(words, [Folder("run", "/data/run")]) == said


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_the_system_forbids_what_lies_elsewhere(folders: tuple[Path, Path]) -> None:
    code = """
import sys
from nexus_xr.server.workers import landlock
assert landlock.restrict([sys.argv[1], sys.prefix, sys.base_prefix])
open(sys.argv[1] + "/own.h5", "rb").close()
served, secret = sys.argv[1:]
for name, mode in ((secret + "/secret.h5", "rb"), (served + "/new.h5", "wb"), (served + "/own.h5", "ab")):
    try:
        open(name, mode)
    except PermissionError:
        print("refused")
"""
    assert run(code, *folders).split() == ["refused"] * 3


# --- who may ask -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger(folders: tuple[Path, Path]) -> Iterator[TestClient]:
    """A client that shows nothing."""
    with TestClient(app(folders[0], token=TOKEN, limits=Limits(workers=1)), HERE) as client:
        yield client


def test_who_shows_nothing_learns_that_the_service_is_there_and_no_more(stranger: TestClient) -> None:
    for ask in (stranger.get, stranger.head):
        answer = ask("/healthz")
        assert (answer.status_code, answer.content) == (200, b"")
    assert stranger.post("/healthz").status_code == 405
    for near in ("/healthz/", "/healthz/own.h5", "//healthz", "/healthz%2f..%2fapi/files"):
        assert stranger.get(near, follow_redirects=False).status_code == 401
    shown = {"Authorization": f"Bearer {TOKEN}"}
    assert stranger.get("/openapi.json", headers=shown).json()["paths"]["/healthz"]["get"]["security"] == []


EVERYTHING = (
    "/api/files",
    "/file/own.h5",
    "/h5grove/meta?file=own.h5",
    "/metrics",
    "/openapi.json",
    "/zarr/own.h5/zarr.json",
)


@pytest.mark.parametrize("address", EVERYTHING)
@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"]
)
def test_without_the_token_there_is_nothing(stranger: TestClient, address: str, shown: str) -> None:
    answer = stranger.get(address, headers={"Authorization": shown} if shown else {})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "token" in answer.json()["message"]


@pytest.mark.parametrize(("site", "told"), [("cross-site", True), ("same-site", False)])
def test_a_frame_that_keeps_no_cookie_says_what_helps(stranger: TestClient, site: str, told: bool) -> None:
    asked = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    answer = stranger.get("/view", headers=asked)
    assert answer.status_code == 401
    assert ("a frame in a page of another site" in answer.json()["message"]) == told


def test_a_visit_with_the_token_sets_a_cookie_that_scripts_do_not_see(stranger: TestClient) -> None:
    answer = stranger.get("/api/files", params={"token": TOKEN, "limit": "1"}, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/api/files?limit=1"
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert stranger.get("/api/files").status_code == 200
    stranger.cookies.clear()
    assert stranger.get("/api/files", params={"token": "wrong"}).status_code == 401


def visit(client: TestClient, address: str = "/") -> Any:
    """The answer to a first visit with the token, after which the client forgets its cookie."""
    answer = client.get(address, params={"token": TOKEN}, follow_redirects=False)
    client.cookies.clear()
    return answer


def test_a_cookie_shows_the_token_and_does_not_tell_it(stranger: TestClient, folders: tuple[Path, Path]) -> None:
    said = visit(stranger).headers["Set-Cookie"]
    cookie = said.partition(";")[0]
    name, _, value = cookie.partition("=")
    assert TOKEN not in said
    assert stranger.get("/api/files", headers={"Cookie": cookie}).status_code == 200
    for wrong in (f"{name}={value[:-1]}", f"{name}={TOKEN}", f"{name}=", f"other={value}"):
        assert stranger.get("/api/files", headers={"Cookie": wrong}).status_code == 401
    assert stranger.get("/api/files", headers={"Authorization": f"Bearer {value}"}).status_code == 401
    with TestClient(app(folders[0], token=TOKEN, limits=Limits(workers=1)), HERE) as of_same_token:
        assert of_same_token.get("/api/files", headers={"Cookie": cookie}).status_code == 200
    with TestClient(app(folders[0], token="another", limits=Limits(workers=1)), HERE) as of_another:
        assert of_another.get("/api/files", headers={"Cookie": cookie}).status_code == 401


@pytest.mark.parametrize("others", [["a=b", "{}"], ["{}", "a=b"], ["a=b; {}", "c=d"]])
def test_cookies_may_come_in_several_headers(stranger: TestClient, others: list[str]) -> None:
    cookie = visit(stranger).headers["Set-Cookie"].partition(";")[0]
    shown = [("Cookie", each.format(cookie)) for each in others]
    assert stranger.get("/api/files", headers=shown).status_code == 200


@pytest.mark.parametrize("path", ["//evil.example/", "///evil.example/", "/\\evil.example/", "//evil.example//x"])
@pytest.mark.parametrize("root_path", ["", "/data"])
def test_a_visit_with_the_token_leads_to_the_same_host(folders: tuple[Path, Path], path: str, root_path: str) -> None:
    application = app(folders[0], token=TOKEN, limits=Limits(workers=1))
    with TestClient(application, HERE, root_path=root_path) as client:
        place = visit(client, f"{HERE}{root_path}{path}").headers["Location"]
    assert place.startswith(f"{root_path}/")
    assert not place.startswith("//")
    assert urlsplit(urljoin(HERE, place)).netloc == urlsplit(HERE).netloc


def test_tokens_are_random_unless_told_otherwise(folders: tuple[Path, Path]) -> None:
    one, other = (app(folders[0]).state.token for _ in range(2))
    assert len(one) >= 32
    assert one != other
    assert token_of(False) is None
    assert token_of("mine") == "mine"


@pytest.mark.parametrize(
    ("token", "what"), [("", "is empty"), (" \n", "is empty"), ("tök", "has characters"), ("a\r\nb", "has characters")]
)
def test_a_token_is_one_that_can_be_shown(folders: tuple[Path, Path], token: str, what: str) -> None:
    with pytest.raises(NexusError, match=f"the token {what}"):
        app(folders[0], token=token)


@pytest.mark.parametrize("token", [None, 0, 1, 3, [], b"mine"])
def test_who_is_let_in_is_not_guessed(folders: tuple[Path, Path], token: Any) -> None:
    with pytest.raises(TypeError, match=f"the token: expected text, True .* found {type(token).__name__}"):
        app(folders[0], token=token)
    with pytest.raises(TypeError, match=f"the token: expected text, True .* found {type(token).__name__}"):
        serve(folders[0], port=0, token=token)


def test_one_host_and_one_origin_are_taken_as_they_are(folders: tuple[Path, Path]) -> None:
    settings = settings_of(folders[0], False, "data.example", "https://h5web.example", None)
    assert (settings.hosts, settings.origins) == (("data.example",), ("https://h5web.example",))
    assert settings_of(folders[0], False, ["a", "b"], (), None).hosts == ("a", "b")


@pytest.mark.parametrize("option", ["hosts", "origins"])
@pytest.mark.parametrize("given", [3, [3], None])
def test_hosts_and_origins_are_text(folders: tuple[Path, Path], option: str, given: Any) -> None:
    with pytest.raises(TypeError, match=f"{option}=.*: expected a string, or several, found"):
        app(folders[0], **{option: given})


@pytest.mark.parametrize("host", ["a.b:8443", "https://a.b", "a.b/", "", "a b", "[::1]:80", "u@a.b", "[a.b]"])
def test_a_host_is_a_name_alone(folders: tuple[Path, Path], host: str) -> None:
    with pytest.raises(NexusError, match=f"hosts: '{re.escape(host)}' is no name; give it without scheme, port"):
        app(folders[0], hosts=[host])


def test_hosts_are_names_and_numbers(folders: tuple[Path, Path]) -> None:
    given = ("Data.example", "10.0.0.1", "[::1]", "fe80::1", "::ffff:10.0.0.1", "*", "_x-y")
    assert settings_of(folders[0], False, given, (), None).hosts == (
        *("data.example", "10.0.0.1", "::1", "fe80::1", "::ffff:10.0.0.1", "*", "_x-y"),
    )


@pytest.mark.parametrize("root_path", ["/ü", "/a b", "https://x/data", "/a//b", "/a/../b", "/a%20b", "/a?b", "/."])
def test_a_root_path_is_written_as_it_is(folders: tuple[Path, Path], root_path: str) -> None:
    with pytest.raises(NexusError, match=rf"root_path='{re.escape(root_path)}': expected a path such as '/data'"):
        serve(folders[0], port=0, root_path=root_path)


@pytest.mark.parametrize(
    ("root_path", "expected"), [("", ""), ("/", ""), ("data", "/data"), ("/a/b-c/.d/", "/a/b-c/.d"), ("/..a", "/..a")]
)
def test_root_paths(root_path: str, expected: str) -> None:
    assert root_path_of(root_path) == expected


def test_what_the_service_may_not_read_is_told(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose user has other rights than who runs the tests may have."""
    served = (Folder("", str(folders[0])),)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(NexusFileError, match=f"{folders[0]}: this process may not list it"):
            app(folders[0])
    context = Context(Settings(served, None))
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", mock.Mock(side_effect=PermissionError(13, "Permission denied")))
        with pytest.raises(Failure, match=r"Permission denied of 'a/b\.h5'") as caught:
            file_at(served, "a/b.h5")
        assert caught.value.status == 403
    (folders[0] / "closed").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", mock.Mock(side_effect=PermissionError(13, "Permission denied")))
        with pytest.raises(Failure, match="Permission denied of 'closed'") as caught:
            ListFolder("/closed/").answer(context)
        assert caught.value.status == 403
    error = PermissionError(13, "Permission denied", f"{folders[0]}/own.h5")
    failures = [failure_of(error, served), failure_of(PermissionError(13, "no", "/elsewhere/x"), served)]
    assert [failure.status for failure in failures] == [403, 403]
    assert "Permission denied of 'own.h5';" in failures[0].message
    assert "elsewhere" not in failures[1].message


def test_who_may_ask_again_is_told_when() -> None:
    assert failure_response(Failure(503, "later")).headers["Retry-After"] == "2"
    assert "Retry-After" not in failure_response(Failure(500, "never")).headers


@pytest.mark.parametrize(
    "origin",
    [
        *("h5web.example", "https://h5web.example/page", "https://", "", "https://[a", "https://:80", "https://a.b:"),
        *("https://a.b:65536", "https://u:p@a.b", "https://u@a.b", "https://a.b#", "https://a.b?x", "https://a.b?"),
    ],
)
def test_an_origin_has_a_scheme_and_a_name_and_no_path(folders: tuple[Path, Path], origin: str) -> None:
    with pytest.raises(NexusError, match=f"origins: '{re.escape(origin)}' is none; give scheme and name"):
        app(folders[0], origins=[origin])


@pytest.mark.parametrize(
    ("origin", "sent"),
    [
        ("https://h5web.example", "https://h5web.example"),
        ("https://H5web.example/", "https://h5web.example"),
        ("http://localhost:8888", "http://localhost:8888"),
        ("HTTPS://A.b:443", "https://a.b"),
        ("http://[::1]:80/", "http://[::1]"),
        ("https://a.b:80", "https://a.b:80"),
        ("chrome-extension://abc", "chrome-extension://abc"),
        ("null", "null"),
        ("*", "*"),
    ],
)
def test_origins_are_taken_as_browsers_send_them(folders: tuple[Path, Path], origin: str, sent: str) -> None:
    assert settings_of(folders[0], False, (), origin, None).origins == (sent,)


@pytest.mark.parametrize("given", [3, [3], None, ["there", None]])
def test_folders_are_paths(given: Any) -> None:
    with pytest.raises(TypeError, match=r"folders=.*: expected a path, or several, found (int|NoneType)"):
        settings_of(given, False, (), (), None)


def test_limits_are_limits(folders: tuple[Path, Path]) -> None:
    limits: Any = 3
    with pytest.raises(TypeError, match="limits=3: expected Limits or None, found int"):
        app(folders[0], limits=limits)


def test_tokens_are_not_logged(stranger: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        stranger.get("/api/files", params={"token": TOKEN})
        stranger.get("/api/files", headers={"Authorization": f"Bearer {TOKEN}"})
    stranger.cookies.clear()
    told = [record for record in caplog.records if record.name == "nexus_xr.server"]
    assert json.loads(told[0].getMessage())["path"] == "/api/files"
    assert TOKEN not in "".join(record.getMessage() for record in told)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:80",
        "",
        "[::1",
        "a@localhost:b@c",
        "localhost:evil",
        "localhost:99999",
        "user@localhost",
        "localhost/evil",
        "localhost?evil",
        "localhost#evil",
        "localhost\\evil",
        "192.0.2.7",
        "localhost..",
    ],
)
def test_other_names_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/files", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    ("server", "host", "status"),
    [
        ("192.0.2.7", "192.0.2.7:8745", 200),
        ("127.0.0.2", "127.0.0.2", 200),
        ("2001:db8::7", "[2001:DB8:0::7]:8745", 200),
        ("192.0.2.7", "192.0.2.8", 403),
        ("evil.example", "evil.example", 403),
        (None, "192.0.2.7", 403),
    ],
)
def test_the_number_that_a_request_has_come_to_is_known(server: str | None, host: str, status: int) -> None:
    said: list[int] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        said.append(200)

    async def send(message: Any) -> None:
        said.append(message.get("status", 0))

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "headers": [(b"host", host.encode())], "server": server and (server, 8745)}
    asyncio.run(KnownHosts(answer, [], [])(scope, receive, send))
    assert said[0] == status


@pytest.mark.parametrize("host", ["localhost:8745", "127.0.0.1", "[::1]:8745", "LOCALHOST", "localhost.:8745"])
def test_this_machine_is_known(client: TestClient, host: str) -> None:
    assert client.get("/api/files", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1", "http://[a"]
)
def test_pages_of_others_are_refused(client: TestClient, origin: str) -> None:
    answer = client.get("/api/files", headers={"Origin": origin, "Host": "localhost:8745"})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


MARKS = ("X-Content-Type-Options", "Cross-Origin-Resource-Policy")


def begun(site: str, mode: str = "no-cors", dest: str = "script") -> dict[str, str]:
    """What a browser says of a request."""
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("address", [*EVERYTHING, "/", "/view?file=own.h5", "/viewer.js", "/nothing"])
@pytest.mark.parametrize(
    ("mode", "dest"), [("no-cors", "script"), ("no-cors", "image"), ("navigate", "object"), ("cors", "empty")]
)
def test_what_pages_of_strangers_begin_is_refused(
    client: TestClient, address: str, site: str, mode: str, dest: str
) -> None:
    answer = client.get(address, headers=begun(site, mode, dest))
    assert answer.status_code == 403
    assert "a page from elsewhere" in answer.json()["message"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("dest", ["document", "iframe"])
def test_links_lead_to_anything_and_frames_to_pages(client: TestClient, site: str, dest: str) -> None:
    opened = begun(site, "navigate", dest)
    assert {client.get(page, headers=opened).status_code for page in ("/", "/view?file=own.h5")} == {200}
    for address in ("/file/own.h5", "/api/files"):
        for ask in (client.get, client.head):
            assert ask(address, headers=opened).status_code == (200 if dest == "document" else 403)
        assert client.post(address, headers=opened).status_code == 403


WITHOUT_SCRIPTS = {
    "application/json",
    "application/octet-stream",
    "application/vnd.apache.arrow.stream",
    "application/x-hdf5",
    "application/x-npy",
    "image/png",
    "image/tiff",
    "text/csv",
}


def test_nothing_that_a_link_leads_to_has_scripts(client: TestClient) -> None:
    types = {each.partition(";")[0] for endpoint in ENDPOINTS for each in endpoint.media_types}
    assert types == WITHOUT_SCRIPTS
    for address in EVERYTHING:
        answer = client.get(address, headers=begun("cross-site", "navigate", "document"))
        assert answer.headers["Content-Type"].partition(";")[0] in {*WITHOUT_SCRIPTS, "text/plain"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("headers", [{}, begun("same-origin"), begun("none", "navigate", "document")])
@pytest.mark.parametrize("address", EVERYTHING)
def test_what_no_page_of_strangers_begins_is_answered(
    client: TestClient, address: str, headers: dict[str, str]
) -> None:
    answer = client.get(address, headers=headers)
    assert answer.status_code == 200
    assert [answer.headers[mark] for mark in MARKS] == ["nosniff", "same-origin"]


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("/view", {}, 200),
        ("/nothing", {}, 404),
        ("/file/gone.h5", {}, 404),
        ("/file/own.h5", {"Range": "bytes=0-3"}, 206),
        ("/file/own.h5", {"If-None-Match": "*"}, 304),
        ("/api/files", {"Host": "evil.example"}, 403),
        ("/api/files", {"Authorization": ""}, 401),
        ("/api/files", begun("cross-site"), 403),
    ],
)
def test_every_answer_is_for_pages_of_its_own_alone(
    client: TestClient, address: str, headers: dict[str, str], status: int
) -> None:
    for _ in range(2):  # as what is remembered is marked anew
        answer = client.get(address, headers=headers)
        assert answer.status_code == status
        assert [answer.headers.get_list(mark) for mark in MARKS] == [["nosniff"], ["same-origin"]]


def test_pages_behind_a_proxy_are_opened_from_anywhere(folders: tuple[Path, Path]) -> None:
    application = app(folders[0], token=False, limits=Limits(workers=1))
    with TestClient(application, HERE, root_path="/data") as client:
        for address, status in (("/data/", 200), ("/data/view", 200), ("/data/api/files", 403), ("/data/x/view", 403)):
            opened = client.get(address, headers=begun("same-site", "navigate", "iframe"))
            assert opened.status_code == status


@pytest.mark.parametrize(("origins", "policy"), [("https://viewer.example", "same-origin"), ("*", "cross-origin")])
def test_pages_that_are_known_say_who_they_are(folders: tuple[Path, Path], origins: str, policy: str) -> None:
    origin = {"Origin": "https://viewer.example"}
    with client_of(folders[0], origins=origins, limits=Limits(workers=1)) as client:
        answer = client.get("/file/own.h5", headers={**origin, **begun("cross-site", "cors", "empty")})
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] in ("https://viewer.example", "*")
        assert answer.headers["Cross-Origin-Resource-Policy"] == policy
        unsaid = client.get("/file/own.h5", headers=begun("cross-site"))
        assert unsaid.status_code == (200 if origins == "*" else 403)


def test_pages_that_are_known_may_read(folders: tuple[Path, Path]) -> None:
    origin = "https://viewer.example"
    with client_of(folders[0], origins=[origin], hosts=["data.example"], limits=Limits(workers=1)) as client:
        answer = client.get("/file/own.h5", headers={"Origin": origin, "Range": "bytes=0-3", "Host": "data.example"})
        assert answer.status_code == 206
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert {"Content-Range", "ETag"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "range,authorization",
        }
        assert client.options("/file/own.h5", headers={**asked, "Authorization": ""}).status_code == 200
        from_elsewhere = {**asked, "Access-Control-Request-Private-Network": "true"}
        assert client.options("/file/own.h5", headers=from_elsewhere).status_code == 200
        assert client.get("/api/files", headers={"Origin": "https://evil.example"}).status_code == 403


def test_pages_that_ask_otherwise_than_they_may_are_told(folders: tuple[Path, Path]) -> None:
    origin = "https://viewer.example"
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    with client_of(folders[0], origins=[origin], limits=Limits(workers=1)) as client:
        assert client.options("/file/own.h5", headers=asked).status_code == 200
        for wrong in ({"Access-Control-Request-Method": "PUT"}, {"Access-Control-Request-Headers": "x-mine"}):
            answer = client.options("/file/own.h5", headers={**asked, **wrong})
            assert answer.status_code == 400
            assert "may ask by GET and HEAD" in answer.json()["message"]
            assert next(iter(wrong.values())) in answer.json()["message"]
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert "PUT" not in answer.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(client: TestClient, method: str) -> None:
    for address in ("/api/files", "/file/own.h5", "/zarr/own.h5/zarr.json"):
        refused = client.request(method, address)
        assert refused.status_code == 405
        assert set(refused.headers["Allow"].split(", ")) == {"GET", "HEAD"}


# --- how much --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vast(folders: tuple[Path, Path]) -> str:
    """A small file of 100 GB of fill values, of a chunk of 4 GB, and of fewer values than are too many."""
    with h5py.File(folders[0] / "vast.h5", "w") as file:
        file.create_dataset("x", (50_000, 1000, 1000), "u2", chunks=(1, 1000, 1000), fillvalue=7, compression="gzip")
        file.create_dataset("y", (1 << 14, 1 << 15), "u8", chunks=(1 << 14, 1 << 14), compression="gzip")
    assert (folders[0] / "vast.h5").stat().st_size < 20_000
    return "vast.h5"


@pytest.mark.parametrize(
    "asked",
    [
        "/api/data/{}?path=x",
        "/api/data/{}?path=x&format=json",
        "/api/data/{}?path=x&reduce=sum",
        "/h5grove/data?file={}&path=x",
        "/api/data/{}?path=x&selection=0:2000&format=png",
    ],
)
def test_what_costs_too_much_is_refused_before_it_is_read(client: TestClient, vast: str, asked: str) -> None:
    answer = client.get(asked.format(vast))
    assert answer.status_code in (413, 422)
    assert "message" in answer.json()


def test_a_part_of_what_is_vast_is_sent(client: TestClient, vast: str) -> None:
    assert data(client, vast, "x", selection="49999,999,:3", format="json").json() == [7, 7, 7]
    assert data(client, vast, "x", selection="::25000", reduce="min", format="json").json() == 7


def test_decoding_and_sending_have_limits(folders: tuple[Path, Path], vast: str) -> None:
    with client_of(folders[0], limits=Limits(workers=1, decoded=1 << 20, sent=1 << 10)) as client:
        assert data(client, "own.h5", "x").status_code == 200
        too_large = data(client, vast, "x", selection="0,:,0:2")
        assert too_large.status_code == 413
        assert "1024 are the most" in too_large.json()["message"]
        too_deep = data(client, vast, "x", selection="0,0,0:2")
        assert too_deep.status_code == 413
        assert "decoded" in too_deep.json()["message"]
        assert data(client, "own.h5", "x", reduce="sum", format="json").json() == 3
    with client_of(folders[0], limits=Limits(workers=1, sent=16)) as client:
        assert data(client, "own.h5", "x").status_code == 413
        assert data(client, "own.h5", "x", reduce="sum", format="json").json() == 3


@dataclass(frozen=True)
class Sleeping:
    """A request that takes its time."""

    seconds: float
    file: str = "slow.h5"

    def answer(self, context: Context) -> Answer:
        time.sleep(self.seconds)
        return Answer(b"awake")


@dataclass(frozen=True)
class Crashing:
    """A request over which its worker ends."""

    file: str = "bad.h5"

    def answer(self, context: Context) -> Answer:
        os.kill(os.getpid(), signal.SIGSEGV)
        return Answer()


@dataclass(frozen=True)
class Failing:
    """A request that fails in a way that nobody expected, or in one that is known."""

    error: Exception
    file: str = "odd.h5"

    def answer(self, context: Context) -> Answer:
        raise self.error


@dataclass(frozen=True)
class Eating:
    """A request that takes memory."""

    size: int
    file: str = "big.h5"

    def answer(self, context: Context) -> Answer:
        return Answer(bytes(self.size)[:1])


@dataclass(frozen=True)
class Filling(Eating):
    """A request that takes memory for an array."""

    def answer(self, context: Context) -> Answer:
        return Answer(np.ones(self.size, "u1")[:1].tobytes())


@dataclass(frozen=True)
class Large:
    """A request with an answer of many parts of what workers hand over at once."""

    size: int

    def answer(self, context: Context) -> Answer:
        return Answer(np.arange(self.size, dtype="u1").tobytes())


@dataclass(frozen=True)
class Filled:
    """A request whose answer is one value again and again."""

    value: int
    size: int

    def answer(self, context: Context) -> Answer:
        return Answer(bytes([self.value]) * self.size)


@dataclass(frozen=True)
class Laid:
    """A request whose answer is made somewhere in the room for it."""

    begin: int
    size: int

    def answer(self, context: Context) -> Answer:
        body = context.room[self.begin :][: self.size]
        body[:] = np.arange(self.size, dtype="u1").tobytes()
        return Answer(body)


def with_pool(work: Callable[[Pool], Awaitable[Value]], folder: Path, **limits: Any) -> Value:
    """What comes of some work with workers."""

    async def do() -> Value:
        pool = Pool(Settings(folders_of(folder), None, limits=Limits(**{"workers": 1, **limits})))
        try:
            return await asyncio.wait_for(_done(work(pool)), PATIENCE_SECONDS)
        finally:
            await pool.stop()

    return asyncio.run(do())


async def _done(work: Awaitable[Value]) -> Value:
    return await work


def test_a_worker_that_crashes_is_replaced(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        for _ in range(3):
            with pytest.raises(Failure, match=r"bad\.h5: .* end; the file may be damaged") as caught:
                await pool.run(Crashing())
            assert caught.value.status == 500
            assert (await pool.run(ListFolder(""))).status == 200
        assert (pool.counts.crashed, pool.counts.started) == (3, 4)

    with_pool(work, tmp_path)


def test_the_log_says_where_an_unexpected_error_arose(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def work(pool: Pool) -> None:
        for error in (ValueError("odd"), NexusFileError("odd.h5: damaged"), Failure(500, "known"), IndexError("far")):
            assert (await pool.run(Failing(error))).status in (422, 500)

    with_pool(work, tmp_path)
    (line,) = map(json.loads, capfd.readouterr().err.splitlines())
    assert line["message"] == "Failing of 'odd.h5': ValueError('odd')"
    assert "in answer\n" in line["traceback"]


def test_a_crash_takes_no_other_request_with_it(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        jobs: list[Job] = [Crashing(), Sleeping(0.2), Crashing(), Sleeping(0.1), Sleeping(0.0)]
        answers = await asyncio.gather(*map(pool.run, jobs), return_exceptions=True)
        assert [isinstance(answer, Failure) for answer in answers] == [True, False, True, False, False]

    with_pool(work, tmp_path, workers=2)


def test_a_worker_that_never_ends_is_ended(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        with pytest.raises(Failure, match="longer than") as caught:
            await pool.run(Sleeping(1000))
        assert caught.value.status == 503
        assert pool.counts.too_slow == 1
        assert (await pool.run(ListFolder(""))).status == 200

    with_pool(work, tmp_path, seconds=0.3)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no /proc")
def test_a_worker_that_was_stopped_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_xr.server.workers.pool._GRACE_SECONDS", 0.1)

    async def work(pool: Pool) -> None:
        assert (await pool.run(ListFolder(""))).status == 200
        (worker,) = pool._places._free
        assert worker is not None
        stat = Path("/proc", str(worker.process), "stat")
        os.kill(worker.process, signal.SIGSTOP)
        with pytest.raises(Failure, match="longer than"):
            await pool.run(ListFolder(""))
        wait_until(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX")
        assert (await pool.run(ListFolder(""))).status == 200

    with_pool(work, tmp_path, seconds=1)


def test_memory_has_a_limit(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        for job, words in (
            (Eating(1 << 30), b"than a worker has; ask"),
            (Filling(1 << 30), b"has (Unable to allocate 1.00 GiB"),
        ):
            reply = await pool.run(job)
            assert reply.status == 413
            assert words in reply.pieces[0]
        assert (await pool.run(Eating(1 << 20))).status == 200

    with_pool(work, tmp_path, worker_memory=256 << 20)


def test_an_answer_in_arrow_takes_no_memory_from_those_after_it(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"] = np.arange(1000.0)

    async def work(pool: Pool) -> None:
        assert (await pool.run(ReadData("f.h5", path="x", form="arrow"))).status == 200
        assert (await pool.run(Eating(3 << 29))).status == 200

    with_pool(work, tmp_path, worker_memory=2 << 30)


def test_answers_of_any_size_come_whole(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        for size in (0, 1, 4 << 20, (4 << 20) + 1, (9 << 20) + 5):
            reply = await pool.run(Large(size))
            assert b"".join(reply.pieces) == np.arange(size, dtype="u1").tobytes()

    with_pool(work, tmp_path)


def test_answers_made_anywhere_in_their_room_come_whole(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        for begin, size in ((0, 1 << 17), (100, 7), (1 << 20, 3 << 20), ((4 << 20) - 9, 9)):
            reply = await pool.run(Laid(begin, size))
            assert bytes(reply.body) == np.arange(size, dtype="u1").tobytes()

    with_pool(work, tmp_path)


def test_answers_stay_as_they_are_while_others_come(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        kept = [(value, (await pool.run(Filled(value, 1 << 20))).body) for value in range(7)]
        assert all(bytes(body) == bytes([value]) * (1 << 20) for value, body in kept)
        assert sum(isinstance(body, memoryview) for _, body in kept) == ROOMS - 1
        kept.clear()
        assert isinstance((await pool.run(Filled(9, 1 << 20))).body, memoryview)

    with_pool(work, tmp_path)


def test_too_many_requests_are_told_to_come_again(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        first = [asyncio.create_task(pool.run(Sleeping(0.2))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Failure, match="too many") as caught:
            await pool.run(ListFolder(""))
        assert caught.value.status == 503
        assert [reply.pieces for reply in await asyncio.gather(*first)] == [(b"awake",)] * 3
        assert (await pool.run(ListFolder(""))).status == 200

    with_pool(work, tmp_path, waiting=2)


def test_a_client_may_ask_for_hundreds_of_chunks_at_once(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        most = pool.settings.limits.waiting
        blocking = [asyncio.create_task(pool.run(Sleeping(0.2))) for _ in range(pool.settings.limits.workers)]
        await asyncio.sleep(0)
        asked = [asyncio.create_task(pool.run(ListFolder(""))) for _ in range(768)]
        await asyncio.sleep(0)
        assert pool.counts.waiting == most == 768
        with pytest.raises(Failure, match="too many"):
            await pool.run(ListFolder(""))
        assert {reply.status for reply in await asyncio.gather(*asked)} == {200}
        await asyncio.gather(*blocking)

    with_pool(work, tmp_path)


def test_large_answers_wait_for_memory_and_small_ones_do_not(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        first = await pool.run(Filled(1, 9 << 20))
        second = asyncio.create_task(pool.run(Filled(2, 9 << 20)))
        while not pool.counts.waiting:
            await asyncio.sleep(0.01)
        assert (await pool.run(ListFolder(""))).status == 200
        assert not second.done()
        assert bytes(first.body) == bytes([1]) * (9 << 20)
        del first
        reply = await second
        assert bytes(reply.body) == bytes([2]) * (9 << 20)
        assert pool.counts.waiting == 0

    with_pool(work, tmp_path, held=10 << 20)


def test_memory_that_is_claimed_before_is_enough_for_less_and_for_more(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        for claimed in (5 << 20, 9 << 20, 20 << 20):
            reply = await pool.run(Filled(claimed & 255, 9 << 20), size=claimed)
            assert b"".join(reply.pieces) == bytes([claimed & 255]) * (9 << 20)
            del reply

    with_pool(work, tmp_path, held=30 << 20)


def test_who_waits_too_long_for_memory_is_told_to_ask_again(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        kept = await pool.run(Filled(1, 9 << 20))
        with pytest.raises(Failure, match="waits to be sent") as caught:
            await pool.run(Filled(2, 9 << 20))
        assert caught.value.status == 503
        del kept
        assert (await pool.run(Filled(3, 9 << 20))).size == 9 << 20

    with_pool(work, tmp_path, held=10 << 20, patience=0.1)


def test_answers_that_no_room_is_left_for_are_counted(tmp_path: Path) -> None:
    """Rooms are lent to slow clients first, of a fixed number; what is copied beyond them is held."""

    async def work(pool: Pool) -> None:
        kept = [await pool.run(Filled(value, 1 << 20)) for value in range(ROOMS)]
        with pytest.raises(Failure, match="waits to be sent"):  # a client has half of the memory at most
            await pool.run(Filled(0, 1 << 20))
        kept.append(await pool.run(Filled(ROOMS, 1 << 20), "another"))
        with pytest.raises(Failure, match="waits to be sent"):
            await pool.run(Filled(0, 1 << 20), "a third")
        assert all(bytes(reply.body) == bytes([value]) * (1 << 20) for value, reply in enumerate(kept))

    with_pool(work, tmp_path, held=2 << 20, patience=0.1)


def test_memory_goes_to_who_claimed_it_first() -> None:
    async def do() -> list[int]:
        held = Held(100)
        first = held.take(60, "first")
        order: list[int] = []

        async def claim(size: int, seconds: float = PATIENCE_SECONDS) -> None:
            memory = await held.claim(size, "second", seconds)
            order.append(sum(piece.nbytes for piece in memory))

        claims = [asyncio.create_task(claim(size)) for size in (90, 30, 20)]
        await asyncio.sleep(0)
        assert held.take(30, "third") is None  # though there is enough, others wait
        claims[0].cancel()
        await asyncio.gather(*claims[:1], return_exceptions=True)
        await asyncio.gather(*claims[1:])
        assert first is not None
        del first
        return order

    assert asyncio.run(do()) == [30, 20]


def test_a_client_has_no_more_memory_than_it_leaves_to_others() -> None:
    async def do() -> None:
        held = Held(100)
        first = [held.take(25, "many"), held.take(25, "many")]
        assert None not in first
        assert held.take(1, "many") is None
        waiting = asyncio.create_task(held.claim(10, "many", PATIENCE_SECONDS))
        await asyncio.sleep(0)
        other = held.take(20, "other")  # which doesn't wait for one that waits for its own
        assert other is not None
        assert held.take(5, "other") is not None
        assert held.take(6, "other") is None
        assert not waiting.done()
        first.pop()
        assert sum(piece.nbytes for piece in await waiting) == 10

    asyncio.run(do())


def test_places_are_had_in_turn_by_who_wait_for_them() -> None:
    async def do() -> None:
        places: Places[str] = Places()
        places.put("a")
        places.put("b")
        many = Asker("many", "one file")
        assert [await places.take(many), await places.take(many)] == ["b", "a"]
        order: list[str] = []

        async def wait(name: str, asker: Asker) -> None:
            await places.take(asker)
            order.append(name)

        askers = [*[("one", many)] * 3, ("other", Asker("many", "another file")), *[("few", Asker("few"))] * 3]
        waiting = [asyncio.create_task(wait(*each)) for each in askers]
        await asyncio.sleep(0)
        for had in (many, Asker("few"), many, Asker("few"), many, Asker("few"), many):
            places.give_back(had, "a")
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert order == ["few", "few", "one", "few", "other", "one", "one"]

    asyncio.run(do())


def test_a_place_is_handed_on_by_who_goes_just_when_it_is_its_turn() -> None:
    async def do() -> None:
        places: Places[str] = Places()
        asker = Asker("a client")
        going, waiting, last = [asyncio.create_task(places.take(asker)) for _ in range(3)]
        await asyncio.sleep(0)
        last.cancel()
        places.put("a place")
        going.cancel()
        assert await waiting == "a place"
        assert going.cancelled() or await asyncio.gather(going, return_exceptions=True)
        places.give_back(asker, "a place")
        assert places.take_out() == ["a place"]

    asyncio.run(do())


def test_who_waits_for_most_gives_way_where_too_many_wait(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        many = [asyncio.create_task(pool.run(Sleeping(0.2), "many")) for _ in range(5)]
        await asyncio.sleep(0)
        few = [asyncio.create_task(pool.run(ListFolder(""), "few")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Failure, match="too many"):  # it would have no fewer that wait than the other
            await pool.run(ListFolder(""), "few")
        assert [(await reply).status for reply in few] == [200, 200]
        found = await asyncio.gather(*many, return_exceptions=True)
        assert [isinstance(each, Failure) for each in found] == [False] * 3 + [True] * 2

    with_pool(work, tmp_path, waiting=4)


def test_nothing_is_done_for_who_has_gone(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        blocking = asyncio.create_task(pool.run(Sleeping(0.2)))
        await asyncio.sleep(0)
        leaves = asyncio.Event()

        async def receive() -> Any:
            await leaves.wait()
            return {"type": "http.disconnect"}

        asked = [asyncio.create_task(Presence(receive).found(pool.run(Sleeping(1000)))) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert pool.counts.waiting == 3
        leaves.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(each) for each in found} == {ClientGoneError}
        assert pool.counts.waiting == 0
        await blocking
        assert (await pool.run(ListFolder(""))).status == 200

    with_pool(work, tmp_path)


async def for_ever() -> Any:
    await asyncio.Event().wait()


def test_work_that_is_ended_by_others_is_not_taken_for_that_of_a_client_that_has_gone() -> None:
    async def do() -> None:
        leaves = asyncio.Event()

        async def receive() -> Any:
            await leaves.wait()
            return {"type": "http.disconnect"}

        ended, both = (asyncio.create_task(Presence(receive).found(for_ever())) for _ in range(2))
        await asyncio.sleep(0.01)
        ended.cancel()
        await asyncio.wait((ended,))
        leaves.set()
        both.cancel()
        await asyncio.wait((both,))
        assert ended.cancelled()
        assert both.cancelled()

    asyncio.run(do())


@pytest.mark.parametrize("outcome", [7, Failure(503, "later"), None])
def test_a_task_that_a_client_has_left_goes_on_as_it_was(outcome: Any) -> None:
    """Whatever comes of the work meanwhile, be it that it goes to its end."""

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def work() -> Any:
        try:
            await for_ever()
        except asyncio.CancelledError:
            if outcome is None:
                raise
        if isinstance(outcome, Failure):
            raise outcome
        return outcome

    async def do() -> None:
        with pytest.raises(ClientGoneError):
            await Presence(receive).found(work())
        own = asyncio.current_task()
        assert own is not None
        assert own.cancelling() == 0
        await asyncio.sleep(0)

    asyncio.run(do())


def test_a_server_is_asked_once_what_comes_of_a_client(tmp_path: Path) -> None:
    """Some lose what they would say next where that isn't waited for any more."""
    (tmp_path / "large.h5").write_bytes(HDF5_SIGNATURE.ljust(3 * PART_BYTES, b"x"))
    asked, sent = [0], [0]

    async def receive() -> Any:
        asked[0] += 1
        if asked[0] == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        try:
            await for_ever()
        except asyncio.CancelledError:
            assert sent[0] == 3 * PART_BYTES, "the rest is still to be sent"
            raise

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        sent[0] += len(message.get("body", b""))

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/file/large.h5", "query_string": b"", "headers": headers}
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        assert client.portal is not None
        client.portal.call(client.app, {**scope, "client": None, "scheme": "http"}, receive, send)
    assert (asked, sent) == ([2], [3 * PART_BYTES])


def test_work_is_done_in_the_task_of_its_request() -> None:
    async def task() -> Any:
        return asyncio.current_task()

    async def do() -> None:
        assert await Presence(for_ever).found(task()) is asyncio.current_task()

    asyncio.run(do())


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_workers_end_with_the_service_and_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def work(pool: Pool) -> int:
        asked = asyncio.create_task(pool.run(Sleeping(1000)))
        wait = pool.counts
        while not wait.busy:
            await asyncio.sleep(0.01)
        asked.cancel()
        assert pool._nursery is not None
        return pool._nursery._popen.pid

    group = with_pool(work, tmp_path)
    wait_until(lambda: not any(_is_of(each, group) for each in Path("/proc").glob("[0-9]*")))
    assert capfd.readouterr().err == ""


def _is_of(process: Path, group: int) -> bool:
    """Whether a process that hasn't ended is of a group."""
    with suppress(OSError):
        state, _, its_group = (process / "stat").read_text().rpartition(") ")[2].split()[:3]
        return int(its_group) == group and state != "Z"
    return False


def test_who_goes_away_costs_no_worker(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        asked = asyncio.create_task(pool.run(Sleeping(0.2)))
        await asyncio.sleep(0.05)
        asked.cancel()
        assert (await pool.run(ListFolder(""))).status == 200
        assert pool.counts.started == 1

    with_pool(work, tmp_path)


def test_workers_are_started_again_after_the_service_was_ended(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        for _ in range(2):
            await pool.start()
            assert (await pool.run(ListFolder(""))).status == 200
            await pool.stop()

    with_pool(work, tmp_path)


def test_workers_are_started_again_after_the_system_ended_their_parent(tmp_path: Path) -> None:
    async def work(pool: Pool) -> None:
        await pool.start()
        assert pool._nursery is not None
        pool._nursery._popen.kill()
        pool._nursery._popen.wait()
        assert (await pool.run(ListFolder(""))).status == 200

    with_pool(work, tmp_path)


def descriptors() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_processes_that_do_not_start_keep_no_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(folders_of(tmp_path), None)
    errors: list[BaseException] = []  # which keep what their frames have

    async def work() -> None:
        nursery = await Nursery.started(settings)
        nursery._popen.kill()
        nursery._popen.wait()
        before = descriptors()
        with pytest.raises(OSError, match="Broken pipe") as caught:
            await nursery.worker(Held(1))
        errors.append(caught.value)
        assert descriptors() <= before  # others may be closed meanwhile
        nursery.end()
        before = descriptors()
        monkeypatch.setattr("sys.executable", str(tmp_path / "gone"))
        with pytest.raises(FileNotFoundError) as not_found:
            await Nursery.started(settings)
        errors.append(not_found.value)
        assert descriptors() <= before  # others may be closed meanwhile
        monkeypatch.setattr("sys.executable", shutil.which("false"))
        with pytest.raises(Failure, match="don't start") as failed:
            await Nursery.started(settings)
        errors.append(failed.value)
        assert descriptors() <= before  # others may be closed meanwhile

    asyncio.run(work())


def test_a_folder_that_is_removed_and_made_again_is_served(tmp_path: Path) -> None:
    served = tmp_path / "served"

    def write(value: int) -> None:
        served.mkdir()
        with h5py.File(served / "f.h5", "w") as file:
            file["x"] = value

    async def work(pool: Pool) -> None:
        async def ask() -> list[int]:
            listed, read = await asyncio.gather(pool.run(ListFolder("")), pool.run(ReadMeta("f.h5", path="x")))
            return [listed.status, read.status]

        assert await ask() == [200, 200]
        served.rename(tmp_path / "before")
        write(2)
        assert await ask() == [200, 200]
        assert b"2" in (await pool.run(ReadData("f.h5", path="x", form="json"))).body
        shutil.rmtree(served)
        assert await ask() == [404, 404]
        write(3)
        assert await ask() == [200, 200]
        started = pool.counts.started
        (served / "g.h5").touch()  # which changes the folder, and makes no other of it
        assert await ask() == [200, 200]
        assert pool.counts.started == started
        assert pool.counts.crashed == 0

    write(1)
    with_pool(work, served, workers=2)


def test_folders_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(NexusError, match="no such folder"):
        app(tmp_path / "gone")
    with pytest.raises(NexusError, match="no folder"):
        app([])


# --- deadlines and connections ---------------------------------------------------------------------------------------


class Time(asyncio.SelectorEventLoop):
    """An event loop whose time is told; nothing but alarms is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.alarms: list[tuple[float, Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *_: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, (), self)
        self.alarms.append((when, handle))
        return handle

    def pass_to(self, time: float) -> None:
        """Have alarms ring in their order until that time."""
        while due := sorted(each for each in self.alarms if each[0] <= time):
            self.now, handle = due[0]
            self.alarms.remove(due[0])
            if not handle.cancelled():
                handle._run()
        self.now = time


@pytest.fixture
def loop() -> Iterator[Time]:
    loop = Time()
    yield loop
    loop.close()


def test_a_deadline_that_passes_is_told_once(loop: Time) -> None:
    late: list[float] = []
    deadline = Deadline(loop, lambda: late.append(loop.time()))
    deadline.set(10)
    loop.pass_to(9)
    assert late == []
    deadline.set(10)  # while its alarm is set for another time
    loop.pass_to(18)
    assert late == []
    loop.pass_to(40)
    assert late == [19]
    deadline.set(5)
    loop.pass_to(50)
    assert late == [19, 45]


def test_a_deadline_that_is_cleared_is_not_told_and_can_be_set_again(loop: Time) -> None:
    late: list[float] = []
    deadline = Deadline(loop, lambda: late.append(loop.time()))
    for _ in range(100):
        deadline.set(10)
        deadline.clear()
    assert len(loop.alarms) == 1
    loop.pass_to(20)
    deadline.set(10)
    deadline.set(3)  # earlier than the alarm
    loop.pass_to(40)
    assert late == [23]
    deadline.set(10)
    deadline.end()
    loop.pass_to(60)
    assert late == [23]


class Recording(asyncio.Transport):
    """A transport that notes what it is told to do."""

    def __init__(self) -> None:
        super().__init__({"peername": "somebody"})
        self.calls: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.calls.append(b"|".join(map(bytes, list_of_data)))

    def close(self) -> None:
        self.calls.append("close")


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


def test_the_head_of_a_response_goes_with_its_body() -> None:
    async def do() -> list[bytes | str]:
        recording = Recording()
        transport = HeadsWithBodies(recording, asyncio.get_running_loop())
        assert transport.get_extra_info("peername") == "somebody"
        transport.write(HEAD)
        transport.write(memoryview(b"body"))
        transport.write(memoryview(b"more"))
        await asyncio.sleep(0)
        transport.write(HEAD)
        transport.write(b"")  # of what has no body
        transport.write(HEAD)
        await asyncio.sleep(0)  # in which the body isn't made
        transport.write(b"body")
        transport.write(HEAD)
        transport.close()
        await asyncio.sleep(0)
        return recording.calls

    assert asyncio.run(do()) == [HEAD + b"|body", b"more", HEAD, HEAD, b"body", HEAD, "close"]


# --- slow clients, over real connections -----------------------------------------------------------------------------


@contextmanager
def served(folder: Path, patience: float, loop: Any = "auto", **limits: Any) -> Iterator[uvicorn.Server]:
    """A service that is run by uvicorn in this process."""
    application = app(folder, token=False, limits=Limits(workers=1, **limits))
    config = uvicorn.Config(application, port=0, http=patient(patience), log_level="error", loop=loop)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield server
    finally:
        server.should_exit = True
        thread.join()


def port_of(server: uvicorn.Server) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


def connected(port: int, said: bytes, receive_buffer: int | None = None) -> socket.socket:
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(PATIENCE_SECONDS)
    client.connect(("127.0.0.1", port))
    client.sendall(said)
    return client


def test_clients_that_are_too_slow_are_left(folders: tuple[Path, Path]) -> None:
    with h5py.File(folders[0] / "large.h5", "w") as file:
        file["x"] = np.zeros(1 << 24, "u1")
    with served(folders[0], patience=0.5) as server:
        port = port_of(server)
        with connected(port, b"") as silent, connected(port, b"GET /api/files HTTP/1.1\r\nHos") as halting:
            assert silent.recv(1) == halting.recv(1) == b""
        with connected(port, b"GET /file/large.h5 HTTP/1.1\r\nHost: localhost\r\n\r\n", 1 << 12) as reading_nothing:
            wait_until(lambda: bool(server.server_state.connections))
            wait_until(lambda: not server.server_state.connections)
            assert sum(map(len, iter(partial(reading_nothing.recv, 1 << 16), b""))) < 1 << 24
        with connected(port, b"GET /api/files HTTP/1.1\r\nHost: localhost\r\n\r\n") as quick:
            assert quick.recv(1 << 16).startswith(b"HTTP/1.1 200")
    (folders[0] / "large.h5").unlink()


ASKED = b"GET /api/files HTTP/1.1\r\nHost: localhost\r\n\r\n"


def answers(client: socket.socket) -> bytes:
    return b"".join(iter(partial(client.recv, 1 << 16), b""))


@pytest.mark.parametrize("address", ["/zarr/large.h5/x/c/0", "/api/data/large.h5?path=x", "/file/large.h5"])
def test_clients_that_take_nothing_have_no_more_memory_than_there_is(folders: tuple[Path, Path], address: str) -> None:
    with h5py.File(folders[0] / "large.h5", "w") as file:
        file.create_dataset("x", data=np.zeros(10 << 20, "u1"), chunks=(10 << 20,))
    lent: list[int] = []
    request = f"GET {address} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    with patched_memory(lent), served(folders[0], PATIENCE_SECONDS, held=12 << 20) as server, ExitStack() as stack:
        port = port_of(server)
        clients = [stack.enter_context(connected(port, request, 1 << 12)) for _ in range(12)]
        with connected(port, b"GET /api/files HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") as other:
            assert answers(other).startswith(b"HTTP/1.1 200")
        wait_until(lambda: bool(lent))
        with ThreadPoolExecutor(len(clients)) as threads:
            for answer in threads.map(answers, clients):
                assert len(answer.partition(b"\r\n\r\n")[2]) >= 10 << 20
    assert 0 < max(lent) <= 12 << 20
    (folders[0] / "large.h5").unlink()


@contextmanager
def patched_memory(lent: list[int]) -> Iterator[None]:
    """Note how much memory for answers is lent, whenever some is."""
    take = Held._lent

    def noted(held: Held, size: int, client: str) -> Memory:
        memory = take(held, size, client)
        lent.append(held._bytes.total())
        return memory

    with mock.patch.object(Held, "_lent", noted):
        yield


def test_requests_with_too_much_to_them_are_refused(folders: tuple[Path, Path]) -> None:
    begin, end = b"GET /api/files HTTP/1.1\r\nHost: localhost\r\n", b"Connection: close\r\n\r\n"
    large = b"".join(b"x-%d: %s\r\n" % (number, bytes([120]) * 1000) for number in range(40))
    with served(folders[0], patience=PATIENCE_SECONDS) as server:
        port = port_of(server)

        def status(*parts: bytes) -> bytes:
            with connected(port, b"") as client:
                for part in parts:
                    client.sendall(part)
                    time.sleep(0.05)  # each comes by itself
                said = answers(client)
            assert b"200 OK" in said or json.loads(said.partition(b"\r\n\r\n")[2])["message"]
            return said.split(b" ", 2)[1]

        assert status(begin, large, end) == b"200"
        assert status(begin + b"y: 1\r\n" * 100 + end) == b"200"
        assert status(begin + b"y: 1\r\n" * 200 + end) == b"431"
        assert status(begin, *[large] * 2) == b"431"
        assert status(begin, b"z: ", *[bytes([122]) * 30000] * 3) == b"431"
        for length, found in ((64_000, b"200"), (66_000, b"431"), (130_000, b"431")):  # which come at once, if they can
            for count in (1, 2):
                field = b"z: " + bytes([122]) * (length // count) + b"\r\n"
                assert status(begin + field * count + end) == found
        assert status(begin + b"\r\n", begin + large, end) == b"200"
        line, rest = b"GET /api/files?", b" HTTP/1.1\r\nHost: localhost\r\n" + end
        for length, found in ((5400, b"422"), (5600, b"431"), (10000, b"431")):
            assert status(line + bytes([97]) * 60000, bytes([97]) * length + rest) == found
        assert status(begin.replace(b"Host", b"Hosts") + end) == b"400"
        assert status(begin + b"Host: localhost\r\n" + end) == b"400"
        assert status(b"no request\r\n\r\n") == b"400"


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_who_has_gone_is_not_waited_for(folders: tuple[Path, Path], is_reset: bool, loop: str) -> None:
    given_up: list[bool] = []

    async def never(*_: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append(True)

    with mock.patch.object(Pool, "run", never), served(folders[0], PATIENCE_SECONDS, loop) as server:
        with connected(port_of(server), ASKED) as client:
            wait_until(lambda: bool(server.server_state.tasks))
            if is_reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until(lambda: not server.server_state.connections and not server.server_state.tasks)
    assert given_up == [True]


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_who_goes_with_requests_that_wait_is_no_fault_of_the_service(
    folders: tuple[Path, Path], is_reset: bool, loop: str
) -> None:
    asked, has_gone = [], threading.Event()

    async def slow(*_: Any) -> Any:
        """Answer the first two when the client has gone, which finds that out, and others when that is known."""
        asked.append(True)
        while not has_gone.is_set() or (len(asked) > 2 and server.server_state.connections):
            await asyncio.sleep(0.01)
        raise Failure(503, "later")

    told = mock.patch.object(logging.getLogger("uvicorn.error"), "error")
    with told as errors, mock.patch.object(Pool, "run", slow), served(folders[0], PATIENCE_SECONDS, loop) as server:
        with connected(port_of(server), ASKED * 50) as client:
            wait_until(lambda: bool(asked))
            if is_reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        has_gone.set()
        wait_until(lambda: not server.server_state.connections and not server.server_state.tasks)
    errors.assert_not_called()


@pytest.mark.parametrize(("size", "status"), [(1 << 20, b"200"), ((1 << 20) + 1, b"413")])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_bodies_of_requests_are_refused_where_they_are_large(
    folders: tuple[Path, Path], is_chunked: bool, size: int, status: bytes
) -> None:
    is_sent, run = threading.Event(), Pool.run
    begin = ASKED[:-2] + b"Connection: close\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (size, bytes(size))
    said = begin + (chunked if is_chunked else b"Content-Length: %d\r\n\r\n%s" % (size, bytes(size)))

    async def slow(*asked: Any) -> Any:
        while not is_sent.is_set():
            await asyncio.sleep(0.01)
        return await run(*asked)

    patched = mock.patch.object(Pool, "run", slow)
    with patched, served(folders[0], PATIENCE_SECONDS) as server, connected(port_of(server), b"") as client:
        send_if_taken(client, said)
        if status == b"200":
            is_sent.set()
        assert answers_to(client, 1).split(b" ", 2)[1] == status


@pytest.mark.parametrize(("size", "status"), [(60_000, b"200"), (70_000, b"431")])
@pytest.mark.parametrize("begin", [b"0\r\nx: ", b"1;", b"1\r\n.\r\n0\r\nx: "])
def test_what_follows_a_head_and_is_no_body_is_refused_where_it_is_large(
    folders: tuple[Path, Path], begin: bytes, size: int, status: bytes
) -> None:
    is_sent, run = threading.Event(), Pool.run
    end = b"\r\n.\r\n0\r\n\r\n" if begin.endswith(b";") else b"\r\n\r\n"

    async def slow(*asked: Any) -> Any:
        while not is_sent.is_set():
            await asyncio.sleep(0.01)
        return await run(*asked)

    patched = mock.patch.object(Pool, "run", slow)
    with patched, served(folders[0], PATIENCE_SECONDS) as server, connected(port_of(server), b"") as client:
        client.sendall(ASKED[:-2] + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        wait_until(lambda: bool(server.server_state.tasks))
        send_if_taken(client, begin + bytes([97]) * size + (end if status == b"200" else b""))
        if status == b"200":
            is_sent.set()
        assert answers_to(client, 1).split(b" ", 2)[1] == status


def test_a_body_that_is_refused_when_its_request_is_answered_has_no_second_answer(folders: tuple[Path, Path]) -> None:
    size = 3 << 20
    with served(folders[0], PATIENCE_SECONDS) as server, connected(port_of(server), b"") as client:
        client.sendall(ASKED[:-2] + b"Content-Length: %d\r\n\r\n" % size)
        assert answers_to(client, 1).startswith(b"HTTP/1.1 200")
        send_if_taken(client, bytes(size))
        assert b"HTTP/1.1" not in answers_to(client, 1)


def test_who_has_asked_all_and_says_so_is_answered(folders: tuple[Path, Path]) -> None:
    begin = b"GET /api/files HTTP/1.1\r\nHost: localhost\r\n"
    with served(folders[0], patience=PATIENCE_SECONDS) as server:
        port = port_of(server)
        for said, count in ((begin + b"\r\n", 1), ((begin + b"\r\n") * 3, 3), (begin, 0), (b"", 0)):
            with connected(port, said) as client:
                client.shutdown(socket.SHUT_WR)
                assert answers(client).count(b"HTTP/1.1 200") == count


def test_who_has_asked_all_is_told_of_no_work_where_there_is_none(folders: tuple[Path, Path]) -> None:
    is_known = threading.Event()

    async def slow(*_: Any) -> Any:
        while not is_known.is_set():
            await asyncio.sleep(0.01)
        raise Failure(503, "later")

    def ended(connection: Bounded) -> bool:
        stays = of_end(connection)
        is_known.set()
        return stays

    of_end = Bounded.eof_received
    patched = mock.patch.object(Bounded, "eof_received", ended), mock.patch.object(Pool, "run", slow)
    served_slowly = served(folders[0], PATIENCE_SECONDS)
    with patched[0], patched[1], served_slowly as server, connected(port_of(server), ASKED) as client:
        client.shutdown(socket.SHUT_WR)
        assert answers(client).startswith(b"HTTP/1.1 503")


@pytest.mark.parametrize(("headers", "status"), [(1000, b"200"), (0, b"400")])
def test_requests_that_nobody_takes_answers_to_do_not_pile_up(
    folders: tuple[Path, Path], headers: int, status: bytes
) -> None:
    """Many at a time are refused; where fewer come with each part that is received, no more is."""
    request = b"GET /api/files HTTP/1.1\r\nHost: localhost\r\nx: %s\r\n\r\n" % bytes([120] * headers)
    count = 5000
    with served(folders[0], patience=PATIENCE_SECONDS) as server:
        port = port_of(server)
        with connected(port, b"", 1 << 12) as client:
            sending = threading.Thread(target=send_if_taken, args=(client, request * count))
            sending.start()
            heads = [head.split(b" ", 2)[0] for head in answers_to(client, count).split(b"HTTP/1.1 ")[1:]]
            sending.join()
    assert heads[-1] == status
    assert len(heads) == count or status != b"200"


def send_if_taken(client: socket.socket, said: bytes) -> None:
    with suppress(OSError):  # the other side has closed the connection
        client.sendall(said)


def answers_to(client: socket.socket, count: int) -> bytes:
    """What comes until there are so many answers, or no more."""
    said = b""
    with suppress(ConnectionResetError):
        while said.count(b"HTTP/1.1 ") < count and (part := client.recv(1 << 16)):
            said += part
    return said


def test_what_can_not_be_finished_is_broken_off_and_told(
    folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = folders[0] / "changing.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(12 << 20, "u1")
    application = app(folders[0], token=False, limits=Limits(workers=1))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        if message.get("body") and not any(each.get("body") for each in sent):
            path.write_bytes(path.read_bytes() + b"more")
        sent.append(message)

    async def receive() -> Any:
        await asyncio.sleep(PATIENCE_SECONDS)

    with TestClient(application, HERE) as client, caplog.at_level(logging.INFO, "nexus_xr.server"):
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/file/changing.h5",
            "query_string": b"",
            "http_version": "1.1",
        }
        headers = [(b"host", b"localhost")]
        assert client.portal is not None
        client.portal.call(application, {**scope, "headers": headers, "client": None, "scheme": "http"}, receive, send)
    path.unlink()
    assert sent[0]["status"] == 200
    assert all(message.get("more_body", True) for message in sent)
    assert "changed while it was sent" in json.loads(caplog.records[-1].getMessage())["broken_off"]


def test_a_part_that_nobody_waits_for_is_given_up() -> None:
    given_up: list[bool] = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"first"
        try:
            await for_ever()
        finally:
            given_up.append(True)

    async def do() -> None:
        is_sent = asyncio.Event()

        async def receive() -> Any:
            await is_sent.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message.get("body"):
                is_sent.set()

        response = InPieces(pieces(), 200, {}, "application/octet-stream", Presence(receive))
        await asyncio.wait_for(response({"type": "http"}, receive, send), PATIENCE_SECONDS)

    asyncio.run(do())
    assert given_up == [True]


@pytest.mark.parametrize(("reason", "status"), [(MemoryError(), 413), (ValueError(), 500)])
def test_what_takes_more_memory_than_there_is_is_no_fault_of_the_file(reason: Exception, status: int) -> None:
    error = NexusFileError("/data/a.h5: there is none")
    error.__context__ = ValueError("it has 9 bytes")  # as of one that is raised while this is handled
    error.__context__.__context__ = reason
    assert failure_of(error, [Folder("", "/data")]).status == status


def test_who_asks_while_a_file_changes_is_told_to_ask_again() -> None:
    failure = failure_of(NexusFileChangedError("/data/a.h5: the file changed"), [Folder("", "/data")])
    assert (failure.status, failure.message) == (409, "a.h5: the file changed")


@pytest.mark.parametrize(
    ("error", "is_told"),
    [(BrokenOffError("a.h5 changed"), False), (asyncio.CancelledError(), False), (ValueError("new"), True)],
)
def test_what_is_broken_off_is_told_once(error: BaseException, is_told: bool) -> None:
    with logging_requests():
        told = logging.getLogger("uvicorn.error")
        record = told.makeRecord(told.name, logging.ERROR, "", 0, "", (), (type(error), error, None))
        assert bool(told.filter(record)) == is_told


@contextmanager
def logging_requests() -> Iterator[None]:
    """Log as the service does for as long as a ``with`` block lasts."""
    loggers = list(map(logging.getLogger, (log.name, "uvicorn", "uvicorn.error", "asyncio")))
    before = [(each.handlers[:], each.filters[:], each.level, each.propagate) for each in loggers]
    try:
        log_requests()
        yield
    finally:
        for each, (handlers, filters, level, propagate) in zip(loggers, before, strict=True):
            each.handlers[:], each.filters[:], each.propagate = handlers, filters, propagate
            each.setLevel(level)


def test_what_others_say_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_requests():
        configured(None, Settings((), None), "")
        logging.getLogger("uvicorn.error").warning("Invalid %s received.", "request")
        try:
            raise ValueError("new\nline")
        except ValueError:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    warned, failed = map(json.loads, capsys.readouterr().err.splitlines())
    assert (warned["level"], warned["message"]) == ("warning", "Invalid request received.")
    assert (failed["level"], failed["message"]) == ("error", "Exception in ASGI application")
    assert failed["traceback"].endswith("ValueError: new\nline")


def test_who_is_left_when_the_service_ends_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def ended(*_: Any) -> Any:
        raise asyncio.CancelledError

    scope = {"type": "http", "method": "GET", "path": "/"}
    metrics = Metrics((OTHER,), memoryview(bytearray(bytes_of_figures((OTHER,)))), Counts())
    with caplog.at_level(logging.INFO, log.name), pytest.raises(asyncio.CancelledError):
        asyncio.run(Observed(ended, metrics)(scope, ended, ended))
    assert json.loads(caplog.records[-1].getMessage())["broken_off"] == "the service has come to its end"


def test_who_waits_when_the_service_ends_may_ask_again() -> None:
    sent: list[Any] = []

    async def ended(*_: Any) -> Any:
        raise asyncio.CancelledError

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/"}
    metrics = Metrics((OTHER,), memoryview(bytearray(bytes_of_figures((OTHER,)))), Counts())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Observed(ended, metrics)(scope, ended, send))
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"retry-after"]) == (503, b"2")
    assert "come to its end" in json.loads(sent[1]["body"])["message"]


# --- hostile files ---------------------------------------------------------------------------------------------------

PATIENT = Limits(workers=2, seconds=5)


def test_damaged_files_are_answered_and_nothing_stops(tmp_path: Path, corpus: Path) -> None:
    statuses = set()
    with client_of(tmp_path, limits=PATIENT) as client:
        for number in range(60):
            path = tmp_path / f"{number}.h5"
            write_damaged(str(CORPUS), number * 7, path)
            for address in ("/api/meta/{}?depth=3", "/h5grove/paths?file={}", "/zarr/{}/zarr.json"):
                answer = client.get(address.format(path.name))
                statuses.add(answer.status_code)
                assert answer.status_code in (200, 404, 413, 415, 422, 500, 503), answer.content
                answer.json()
            statuses |= set(_ask_for_values(client, path))
        assert client.get("/api/files?limit=1").status_code == 200
    assert 200 in statuses
    assert statuses - {200}


def _ask_for_values(client: TestClient, path: Path) -> Iterator[int]:
    """Ask for each array of a damaged file."""
    listed = client.get("/h5grove/paths", params={"file": path.name})
    for each in listed.json()[:15] if listed.status_code == 200 else ():
        answer = client.get(f"/api/data/{path.name}", params={"path": each, "selection": "", "decimate": 50})
        yield answer.status_code
        if answer.status_code >= 400:
            assert answer.json()["message"]


def test_a_file_whose_root_is_damaged_is_named_by_its_address(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "damaged.h5", "w") as file:
        file["x"] = 1
    content = bytearray((tmp_path / "damaged.h5").read_bytes())
    content[113] ^= 7  # the kind of the message that makes the root a group
    (tmp_path / "damaged.h5").write_bytes(content)
    with client_of(tmp_path) as client:
        (item,) = client.get("/api/files?details=true").json()["items"]
        told = [item["trouble"], client.get("/api/meta/damaged.h5").json()["message"]]
    assert all(words.startswith("damaged.h5: the root group can't be read") for words in told)


def test_details_of_a_folder_with_damaged_files_are_told(tmp_path: Path, corpus: Path) -> None:
    for number in range(20):
        write_damaged(str(CORPUS), 1000 + number, tmp_path / f"{number}.h5")
    with client_of(tmp_path, limits=PATIENT) as client:
        items = client.get("/api/files?details=true").json()["items"]
    assert len(items) == 20
    assert all("trouble" in item or "default" in item for item in items)
