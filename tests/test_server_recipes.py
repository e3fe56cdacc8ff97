"""The recipes of the page on the service do what it says."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from .arrays import h5py_values
from .pages import DOCS, Block, blocks, write_scan
from .waiting import PATIENCE_SECONDS, wait_until

PAGE = DOCS / "guide" / "server.md"
CLIENTS = DOCS / "guide" / "clients.md"
ZARRITA = Path(__file__).parent / "zarrita" / "node_modules"
TOKEN = "a-token"


@contextmanager
def serving(folder: Path, options: str = "") -> Iterator[str]:
    """The address of a service in a process of its own."""
    code = f"import sys, nexus_xr.server as s; s.serve(sys.argv[1], port=0, token={TOKEN!r}{options})"
    command = [sys.executable, "-c", code, str(folder)]
    with _printing(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as address:
        yield address


@contextmanager
def _printing(started: subprocess.Popen[str]) -> Iterator[str]:
    """The address that a service prints, which ends at the end of a ``with`` block."""
    with started as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0].partition("?token=")[0].rstrip("/")
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
                name = "files.facility.example"
                answer = _asked(f"http://127.0.0.1:{port}/data/file/scan.nxs", name)
                assert answer == (folder / "scan.nxs").read_bytes()
                at = f"{name}:{port}"  # of which pages are, as there is a port
                assert b'"items"' in _asked(f"http://127.0.0.1:{port}/data/api/files", at, f"http://{at}")
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    _asked(f"http://127.0.0.1:{port}/data/api/files", "evil.example")
            finally:
                nginx.terminate()


def _of_systemd(text: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    return shlex.split(line.removeprefix("ExecStart="))


def _of_a_container(text: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith("ENTRYPOINT ")]
    words: list[str] = json.loads(line.removeprefix("ENTRYPOINT "))
    return words


@pytest.mark.parametrize(("language", "words_of"), [("ini", _of_systemd), ("text", _of_a_container)])
def test_what_others_start_serves(folder: Path, language: str, words_of: Callable[[str], list[str]]) -> None:
    [block] = blocks(PAGE, language)
    _, option, code = words_of(block.text)
    code = (
        code.replace("'0.0.0.0'", "'127.0.0.1'")
        .replace("'/data'", repr(str(folder)))
        .replace("token=", "port=0, token=")
    )
    variables = {**os.environ, "TOKEN": TOKEN, "HOSTS": "files.facility.example other.example"}
    with _printing(
        subprocess.Popen([sys.executable, option, code], stdout=subprocess.PIPE, text=True, env=variables)
    ) as at:
        name = "files.facility.example" if language == "text" else "localhost"
        assert _asked(f"{at}/file/scan.nxs", name) == (folder / "scan.nxs").read_bytes()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    [block] = blocks(PAGE, "ini")
    unit = tmp_path / "nexus_xr.service"
    unit.write_text(block.text.replace("/opt/nexus_xr/bin/python", sys.executable))
    ran = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.skipif(
    shutil.which("node") is None or not ZARRITA.is_dir(), reason="zarrita is installed by: cd tests/zarrita && npm ci"
)
def test_javascript_reads_a_frame(folder: Path, tmp_path: Path) -> None:
    [block] = blocks(CLIENTS, "js")
    (tmp_path / "read.mjs").write_text(block.text)
    (tmp_path / "node_modules").symlink_to(ZARRITA)
    with serving(folder) as server:
        variables = {**os.environ, "SERVER": server, "TOKEN": TOKEN}
        ran = subprocess.run(
            ["node", "read.mjs"],
            env=variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
    frame = h5py_values(folder / "scan.nxs", "entry/detector/counts")[3]
    assert ran.stdout.split() == ["[", "32,", "48", "]", str(frame.sum())]


def test_tiled_serves_what_the_engine_opens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = pytest.importorskip("tiled.client")
    build_app = pytest.importorskip("tiled.server.app").build_app
    monkeypatch.chdir(folder)
    [block] = [block for block in blocks(CLIENTS, "py") if "tiled" in block.text]
    namespace: dict[str, Any] = {}
    exec(block.text, namespace)
    with client.Context.from_app(build_app(namespace["tree"])) as context:
        far = client.from_context(context)["scan", "entry-detector"].read()
    assert far.equals(xr.open_dataset("scan.nxs", engine="nexus", group="entry/detector"))


@pytest.mark.parametrize("block", list(blocks(CLIENTS, "py")), ids=lambda block: f"line {block.line}")
def test_what_only_others_run_is_python(block: Block) -> None:
    compile(block.text, str(CLIENTS), "exec")


def _asked(address: str, host: str, origin: str | None = None) -> bytes:
    headers = {"Host": host, "Authorization": f"Bearer {TOKEN}"} | ({"Origin": origin} if origin else {})
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        content: bytes = answer.read()
    return content


def _is_open(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def test_interrupted_it_ends_with_all_its_processes(folder: Path) -> None:
    with serving(folder) as server:
        request = urllib.request.Request(f"{server}/api/files", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
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
            if os.fsencode(folder) in (each / "cmdline").read_bytes():
                top.add(int(each.name))
    while more := {pid for pid, parent in found.items() if parent in top} - top:
        top |= more
    yield from top
