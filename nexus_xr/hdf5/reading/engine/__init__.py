"""Chunks read and decoded, by one thread or by many."""
