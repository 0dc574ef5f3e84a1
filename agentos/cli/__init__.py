"""The `agentos` command."""

from agentos.cli.commands import main

__all__ = ["main"]
