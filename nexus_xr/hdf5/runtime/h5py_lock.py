"""The lock in which h5py calls libhdf5, held for several calls that belong together.

h5py doesn't promise to keep it where it is, which it has been in since 2.4.
"""

from __future__ import annotations

from h5py._objects import phil as phil
