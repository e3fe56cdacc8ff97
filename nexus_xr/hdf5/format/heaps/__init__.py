"""Heaps: names, values of varying length, and what object headers have no room for."""
