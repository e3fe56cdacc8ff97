"""Hold reading against h5py on foreign files: fails where a read is wrong, ends the process, hangs or raises otherwise.

usage: python .ci/foreign.py COMPARE FILES RESULTS [OPTION...]
"""

from __future__ import annotations

import collections
import json
import subprocess
import sys

# What must not be. The others are told: what h5py can't read either, and what is refused with a reason.
FAULTS = ("wrong-exception", "MISMATCH", "TREE-VALUE", "ATTR-DIFFERS", "ATTR-MISSING", "ATTR-EXTRA", "descriptor-left")

# Of big-endian elements of varying length in attributes, h5py swaps the bytes, and says that they are as before.
H5PY_IS_WRONG = {("NCAS-CMS+pyfive/tests/data/attr_datatypes.hdf5", "tree:/@vlen_uint64")}


def main(compare: str, files: str, results: str, *options: str) -> int:
    """Compare, and count what was found."""
    subprocess.run([sys.executable, compare, files, "--out", results, *options], check=True)
    counts: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    with open(results) as lines:
        for line in lines:
            result = json.loads(line)
            counts["files"] += 1
            for event in result["events"]:
                counts[event["kind"]] += 1
                is_ours = not any(
                    result["path"].endswith(path) and event.get("where") == at for path, at in H5PY_IS_WRONG
                )
                if event["kind"] in FAULTS and is_ours:
                    faults.append(f"{result['path']}: {event['kind']} {event.get('where')} {event.get('detail')}")
            ends = [crash for crash in result["crashes"] if not str(crash["at"]).startswith("h5py")]
            if len(ends) < len(result["crashes"]):
                counts["files at which h5py ends as well"] += 1
            else:
                faults += [f"{result['path']}: {crash['ended']} at {crash['at']}" for crash in ends]
    print(*faults, sep="\n")
    told = ("files", "error-where-h5py-reads", "files at which h5py ends as well")
    print(f"{len(faults)} faults;", ", ".join(f"{counts[kind]} {kind}" for kind in told))
    return 1 if faults or not counts["files"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
