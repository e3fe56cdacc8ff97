"""What functions are called with meanwhile."""

from __future__ import annotations

from typing import Any

import pytest


def recorded(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[tuple[Any, ...]]:
    """Have a function of a module or class note its arguments; gives where they will be, those by position."""
    calls: list[tuple[Any, ...]] = []
    function = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        return function(*arguments, **named)

    monkeypatch.setattr(owner, name, call)
    return calls
