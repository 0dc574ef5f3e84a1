"""A personal agent operating system you text."""

__version__ = "0.1.0"
