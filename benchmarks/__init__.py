"""Measurements of nexus_xr beside its peers: ``python -m benchmarks``."""
