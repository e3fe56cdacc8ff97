"""The command line in this process."""

from __future__ import annotations

from typing import Any

from click.testing import CliRunner, Result

from nexus_xr.cli.main import main


def invoke(*arguments: Any) -> Result:
    """What comes of a command."""
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def said(*arguments: Any) -> str:
    """What a command prints that does what it is asked."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: Any) -> str:
    """What a command says that can't do what it is asked."""
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert "Error: " in result.stderr
    return result.stderr
