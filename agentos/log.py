"""The log: an action and fields, one JSON object a line, with secrets taken out."""

import logging
import logging.handlers
import re
import sys
from pathlib import Path
from typing import Any

import structlog

_SECRETS = (
    re.compile(r"\b\d{6,12}:[A-Za-z0-9_-]{30,}\b"),  # a Telegram bot token
    re.compile(r"\bsk-ant-[A-Za-z0-9_-]{8,}"),
    re.compile(r"(?i)\b(bearer|x-api-key:?) +[^\s\"\\]{8,}"),
)


def redact(text: str) -> str:
    """Take what looks like a token or a key out of a text."""
    for pattern in _SECRETS:
        text = pattern.sub("[redacted]", text)
    return text


class _RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def configure(file: Path | None, *, level: str = "INFO") -> None:
    """Send the log to a file that rotates at 10 MB (5 kept), or to stderr when there is none."""
    handler: logging.Handler
    if file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        handler = logging.handlers.RotatingFileHandler(
            file, maxBytes=10_000_000, backupCount=5, encoding="utf-8"
        )
    handler.setFormatter(_RedactingFormatter("%(message)s"))
    # When the disk is full, a log that complains of it with a traceback a line helps nobody.
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These tell every request at INFO, with the bot's token in the address.
    for noisy in ("httpx", "httpcore", "telegram", "uvicorn", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get(name: str) -> Any:
    """A logger: `log.info("job_settled", job_id=7, outcome="done")`."""
    return structlog.stdlib.get_logger(name)
