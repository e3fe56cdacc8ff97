"""Drive the compiled modules by their fuzz tests, built with address and undefined-behaviour sanitizers.

usage: python .ci/sanitize.py [PYTEST OPTION...]

What a sanitizer finds ends the process that reads, fails the test, and is printed. Without a compiler that has the
sanitizers nothing is tried, and that is said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (
    Path("nexus_xr/arrays/_propagate.c"),
    Path("nexus_xr/hdf5/filters/_batch.c"),
    Path("nexus_xr/hdf5/format/_parse.c"),
    Path("nexus_xr/hdf5/reading/reductions/_reduce.c"),
)
# The filters of which a compiled module decodes batches of chunks, what it follows the blocks of, and checksums;
# all that takes structures of the format apart; what is propagated, and what is reduced, in one pass.
TESTS = (
    "tests/test_fuzz.py",
    "tests/test_engine.py",
    "tests/test_format.py",
    "tests/test_compiled.py",
    "tests/test_reduced_in_one_pass.py",
    "tests/test_uncertainties.py",
)
CHOSEN = (
    "damaged and (none or gzip or shuffle or lz4 or zstd or lzf or fletcher) or small_chunks or followed_alike"
    " or undone_alike or a_checksum_is or test_compiled or a_pass_over or one_pass"
)
FLAGS = ("-shared", "-fPIC", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def main(*options: str) -> int:
    """Build, run the tests, and tell what was found."""
    compiler = os.environ.get("CC", "gcc")
    runtime = _runtime(compiler)
    if runtime is None:
        print(f"no sanitizers with the compiler {compiler!r}: nothing tried")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        for name in ("nexus_xr", "tests", "conftest.py", "pyproject.toml"):
            _copy(ROOT / name, copy / name)
        include = f"-I{sysconfig.get_path('include')}"
        for source in SOURCES:
            built = (copy / source).with_suffix(".abi3.so")
            subprocess.run([compiler, *FLAGS, include, str(copy / source), "-o", str(built)], check=True)
        logs = Path(folder, "found")
        found = f"log_path={logs}:halt_on_error=1:detect_leaks=0:allocator_may_return_null=1"
        environment = {
            **os.environ,
            "PYTHONPATH": str(copy),
            "LD_PRELOAD": runtime,
            "ASAN_OPTIONS": found,
            "UBSAN_OPTIONS": f"log_path={logs}:halt_on_error=1:print_stacktrace=1",
        }
        command = [sys.executable, "-m", "pytest", "-q", "-k", CHOSEN, *TESTS, *options]
        status = subprocess.run(command, cwd=copy, env=environment).returncode
        reports = sorted(Path(folder).glob("found.*"))
        for report in reports:
            print(report.read_text(errors="replace"))
    return status or len(reports)


def _runtime(compiler: str) -> str | None:
    """The library that has to be loaded before all others; None where there is none."""
    if shutil.which(compiler) is None:
        return None
    told = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    return str(Path(told).resolve()) if os.path.isabs(told) and os.path.exists(told) else None


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
