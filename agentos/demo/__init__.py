"""`agentos demo`: one story in a real daemon, a stand-in at each far end, every claim checked."""

from agentos.demo.show import run

__all__ = ["run"]
