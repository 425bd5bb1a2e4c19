"""Logging: one line for each event, as JSON or for a console, from our code and the libraries alike."""

import logging
import sys
from contextlib import suppress
from functools import cache, partial
from typing import Any, TextIO

import msgspec
import structlog

QUIET = ("connexion", "alembic", "httpx2", "httpcore2", "schedule", "uvicorn")
"""Libraries of whom only warnings are of interest."""


_traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold keys and bodies


class _Lines:
    """The stream of the lines; when nobody reads it any more, the lines are lost, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _Logger(structlog.WriteLogger):
    """What our lines go through, with the name that they tell."""

    def __init__(self, lines: Any, name: str) -> None:
        super().__init__(lines)
        self.name = name


def configure_logging(log_format: str, stream: TextIO | None = None) -> None:
    """Send every log line to a stream, standard error by default, as `json` or for a `console`.

    Our own lines do not go through `logging`, which costs four times what they do.
    """
    lines: Any = _Lines(stream or sys.stderr)
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
        logger_factory=cache(partial(_Logger, lines)),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,  # else a second configuration would not reach the loggers in use
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs addresses, and those may hold passwords
    logging.getLogger("stamina").setLevel(logging.ERROR)  # we log each attempt ourselves


def _to_json(line: object, **_: object) -> str:
    """Encode a log line; what JSON does not know goes out as text."""
    return msgspec.json.encode(line, enc_hook=_as_text).decode()


def _as_text(value: object) -> str:
    return str(value) if isinstance(value, str) else repr(value)  # a name of SQLAlchemy's is a text of its own kind
