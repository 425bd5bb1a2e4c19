"""Logging: one line for each event, as JSON or for a console, from this service and its libraries alike."""

import logging
import sys
from contextlib import suppress
from functools import cache, partial
from typing import Any, TextIO

import msgspec
import structlog

WARNINGS_ONLY = ("connexion", "alembic", "httpx2", "httpcore2", "schedule", "uvicorn")
"""Libraries of which only warnings and errors are logged."""

_traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # local variables hold keys and bodies


class _LineStream:
    """The stream that log lines are written to. If its reader is gone, lines are lost and nothing else fails."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _NamedLogger(structlog.WriteLogger):
    """Writes lines, and has the name that structlog adds to each of them."""

    def __init__(self, lines: Any, name: str) -> None:
        super().__init__(lines)
        self.name = name


def configure_logging(log_format: str, stream: TextIO | None = None) -> None:
    """Write every log line to a stream, standard error by default, in the format `json` or `console`.

    The lines of this service bypass the standard library's `logging`, which costs four times as much.
    """
    lines: Any = _LineStream(stream or sys.stderr)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if log_format == "json":
        tail: list[structlog.typing.Processor] = [
            structlog.processors.ExceptionRenderer(_traces),
            structlog.processors.JSONRenderer(_to_json),
        ]
    else:
        tail = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    structlog.configure(
        processors=[*shared, *tail],
        logger_factory=cache(partial(_NamedLogger, lines)),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,  # cached loggers would keep an earlier configuration
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in WARNINGS_ONLY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs URLs, which may hold passwords


def _to_json(line: object, **_: object) -> str:
    """Encode a log line. A value that JSON has no type for is written as text."""
    return msgspec.json.encode(line, enc_hook=_as_text).decode()


def _as_text(value: object) -> str:
    return str(value) if isinstance(value, str) else repr(value)  # SQLAlchemy's names are a subclass of str
