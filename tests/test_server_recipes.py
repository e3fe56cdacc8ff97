"""The recipes of the page on the service do what it says."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from .pages import DOCS, blocks, write_scan
from .waiting import wait_until

PAGE = DOCS / "guide" / "server.md"
TOKEN = "a-token"


@contextmanager
def serving(folder: Path, options: str = "") -> Iterator[str]:
    """The address of a service in a process of its own."""
    code = f"import sys, nexus_xr.server as s; s.serve(sys.argv[1], port=0, token={TOKEN!r}{options})"
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().partition("/api")[0]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    write_scan(str(folder / "scan.nxs"))
    return folder


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl_gets_what_the_page_says(folder: Path, tmp_path: Path) -> None:
    [block] = [block for block in blocks(PAGE, "sh") if "curl" in block.text]
    with serving(folder) as server:
        variables = {**os.environ, "SERVER": server, "TOKEN": TOKEN}
        ran = subprocess.run(
            ["sh", "-e", "-c", block.text], env=variables, cwd=tmp_path, capture_output=True, check=True
        )
    assert b'"default":"/entry/detector"' in ran.stdout
    assert (tmp_path / "frame.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "start.bin").read_bytes() == (folder / "scan.nxs").read_bytes()[:1024]


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx")
def test_nginx_stands_before_the_service(folder: Path, tmp_path: Path) -> None:
    [block] = blocks(PAGE, "nginx")
    with serving(folder, ', root_path="/data", hosts=["files.facility.example"]') as server:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        location = block.text.replace("http://127.0.0.1:8745", server)
        configuration = tmp_path / "nginx.conf"
        configuration.write_text(
            f"daemon off; pid {tmp_path}/pid; error_log stderr;\n"
            f"events {{ }}\nhttp {{ access_log off; server {{ listen 127.0.0.1:{port}; {location} }} }}\n"
        )
        with subprocess.Popen(["nginx", "-p", str(tmp_path), "-c", str(configuration)]) as nginx:
            try:
                wait_until(partial(_is_open, port))
                answer = _asked(f"http://127.0.0.1:{port}/data/file/scan.nxs", "files.facility.example")
                assert answer == (folder / "scan.nxs").read_bytes()
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    _asked(f"http://127.0.0.1:{port}/data/api/files", "evil.example")
            finally:
                nginx.terminate()


def _asked(address: str, host: str) -> bytes:
    request = urllib.request.Request(address, headers={"Host": host, "Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        content: bytes = answer.read()
    return content


def _is_open(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def test_interrupted_it_ends_with_all_its_processes(folder: Path) -> None:
    with serving(folder) as server:
        request = urllib.request.Request(f"{server}/api/files", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
        theirs = set(_processes_of(str(folder)))
        assert theirs
    wait_until(lambda: not theirs & set(_processes_of(str(folder))))


def _processes_of(folder: str) -> Iterator[int]:
    """The processes that were started with this folder, and theirs."""
    found: dict[int, int] = {}
    top = set()
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found[int(each.name)] = int((each / "stat").read_text().rpartition(")")[2].split()[1])
            if folder in (each / "cmdline").read_text():
                top.add(int(each.name))
    while more := {pid for pid, parent in found.items() if parent in top} - top:
        top |= more
    yield from top
