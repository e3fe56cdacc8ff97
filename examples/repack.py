"""Store the data of a NeXus file anew: correct it on the way, in other chunks and with another filter.

Nothing is held in memory but a few blocks, all cores encode, and the new file stands under its name only when it is
complete.

    python examples/repack.py scan.nxs small.nxs --compression zstd [--dark dark.nxs]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import xarray as xr
from dask.diagnostics import ProgressBar

import nexus_xr


def repack(source: Path, target: Path, compression: str | None, dark: Path | None = None) -> None:
    """Write every signal of a file into another, minus the mean of a dark stack where there is one."""
    signals = nexus_xr.open_signals(source, nxdata_only=True, chunks={})
    if dark is not None:
        level = nexus_xr.open_signals(dark, nxdata_only=True, chunks={})[0].data.mean(axis=0)
        with xr.set_options(keep_attrs=True):
            signals = [signal - level if signal.shape[1:] == level.shape else signal for signal in signals]
    with ProgressBar():
        nexus_xr.to_nexus(signals, target, compression=compression, use_default=True)


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--compression", default="zstd", help="a filter's name, or none (default: %(default)s)")
    parser.add_argument("--dark", type=Path, help="a stack whose mean is taken off")
    options = parser.parse_args()
    compression = None if options.compression == "none" else options.compression
    try:
        repack(options.source, options.target, compression, options.dark)
    except nexus_xr.NexusError as error:
        sys.exit(str(error))
    sizes = [path.stat().st_size / 1e6 for path in (options.source, options.target)]
    print(f"{options.source}: {sizes[0]:.1f} MB; {options.target}: {sizes[1]:.1f} MB")


if __name__ == "__main__":
    main()
