"""Layouts: where and how the values of a dataset are stored."""
