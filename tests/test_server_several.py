"""Several processes that speak HTTP share a port, count together, and are replaced when they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from nexus_xr.errors import NexusError
from nexus_xr.server import serve, serving, several
from nexus_xr.server.listening import listening_at
from nexus_xr.server.settings import Limits, Settings, folders_of
from nexus_xr.server.several import ending_signals, processes_for, run_several

from .waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere systems don't share a port among several")

SECONDS = 60
COUNTED = 'nexus_xr_requests_total{endpoint="/api/files",status="200"} 8\n'


def get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=SECONDS) as answer:
        content: bytes = answer.read()
    return content


def speaking() -> Iterator[int]:
    """The processes that speak HTTP for this one."""
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((each / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and "server.speaking" in (each / "cmdline").read_text():
                yield int(each.name)


def test_several_answer_on_one_port_and_are_replaced(tmp_path: Path) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("a signal is what ends them, and goes to the main thread")
    (tmp_path / "below").mkdir()
    settings = Settings(folders_of(tmp_path), None, limits=Limits(workers=2))
    found: dict[str, Any] = {}
    threads: list[threading.Thread] = []

    def use(port: int) -> None:
        try:
            found["listed"] = [json.loads(get(port, "/api/files"))["total"] for _ in range(8)]
            # A request is counted when its answer is sent.
            wait_until(lambda: COUNTED in get(port, "/metrics").decode())
            found["first"] = first = set(speaking())
            os.kill(min(first), signal.SIGKILL)
            wait_until(lambda: len(set(speaking()) - {min(first)}) == 2)
            found["after"] = [json.loads(get(port, "/api/files"))["total"] for _ in range(8)]
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def announce(listening: socket.socket) -> None:
        threads.append(threading.Thread(target=use, args=(listening.getsockname()[1],)))
        threads[0].start()

    run_several(settings, "", ("127.0.0.1", 0), 2, announce)
    threads[0].join()
    assert found["listed"] == found["after"] == [1] * 8
    assert len(found["first"]) == 2
    assert not set(speaking())


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("told", ending_signals())
def test_who_is_told_to_end_ends_well(tmp_path: Path, workers: int, told: signal.Signals) -> None:
    code = "import sys, nexus_xr.server; nexus_xr.server.serve(sys.argv[1], port=0, workers=int(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(tmp_path), str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            assert running.stdout.readline().startswith("http://")
            running.send_signal(told)
            assert running.wait(PATIENCE_SECONDS) == 0
        finally:
            running.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no such signal")
def test_a_terminal_that_is_closed_ends_what_was_not_started_to_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert signal.SIGHUP in ending_signals()
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)
    assert ending_signals() == [signal.SIGINT, signal.SIGTERM]


def test_one_that_ends_just_as_patience_does_is_waited_for() -> None:
    process = mock.Mock()
    process.wait = mock.AsyncMock(side_effect=[TimeoutError, 0])
    process.kill.side_effect = ProcessLookupError
    asyncio.run(several._OneOf(mock.Mock(), process).end())
    assert (process.kill.call_count, process.wait.call_count) == (1, 2)


def test_a_port_that_another_has_is_not_shared_with_it() -> None:
    first = listening_at("127.0.0.1", 0, 2)
    port = first[0][0].getsockname()[1]
    assert {each[0].getsockname()[1] for each in first} == {port}
    for each in first:
        each[0].listen()
    for count in (1, 2):
        with pytest.raises(NexusError, match=f"port={port}: .* in use; choose another"):
            listening_at("127.0.0.1", port, count)
        with pytest.raises(NexusError, match=r"host='no such host', .*; choose another"):
            listening_at("no such host", 0, count)
    for each in first:
        each[0].close()


def test_there_are_several_where_many_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(serving, "run_several", lambda *given: asked.append(given))
    serve(tmp_path, port=0, workers=9, token=False)
    ((settings, _, place, count, _),) = asked
    assert (settings.limits.workers, place, count) == (9, ("127.0.0.1", 0), processes_for(9))
    assert [processes_for(each) for each in (1, 7, 8, 16)] == [1, 1, 2, 4]


@pytest.mark.parametrize("wrong", [{"port": 70000}, {"port": -1}, {"workers": -1}])
def test_ports_and_processes_that_can_not_be(tmp_path: Path, wrong: dict[str, Any]) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(NexusError, match=f"{name}={value}: expected"):
        serve(tmp_path, token=False, **wrong)


def test_the_address_that_is_printed_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        serving._announce("a+b c;d", "", listening)
        port = listening.getsockname()[1]
    assert capsys.readouterr().out == f"http://127.0.0.1:{port}/?token=a%2Bb%20c%3Bd\n"


def test_the_address_behind_a_proxy_is_the_proxys(capsys: pytest.CaptureFixture[str]) -> None:
    listening = mock.Mock(**{"getsockname.return_value": ("127.0.0.1", 8745)})
    serving._announce("mine", "/data", listening)
    serving._announce(None, "/data", listening)
    assert capsys.readouterr().out.splitlines() == [
        "http://127.0.0.1:8745/ behind a proxy, which has it at /data/?token=mine",
        "http://127.0.0.1:8745/ behind a proxy, which has it at /data/",
    ]


@pytest.mark.parametrize(("host", "here"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("127.0.0.2", "127.0.0.2")])
def test_the_address_that_is_printed_is_one_that_the_service_knows(
    host: str, here: str, capsys: pytest.CaptureFixture[str]
) -> None:
    listening = mock.Mock(**{"getsockname.return_value": (host, 8745)})
    serving._announce(None, "", listening)
    said = capsys.readouterr().out
    assert said.startswith(f"http://{here}:8745/")
    assert ("--name" in said) == (host != "127.0.0.2")
