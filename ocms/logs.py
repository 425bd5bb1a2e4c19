"""Logging: one line for each event of this service and its libraries, as JSON or for a console."""

import json
import logging
import sys
from contextlib import suppress
from functools import cache, partial
from typing import Any, TextIO

import msgspec
import structlog

from domain.redaction import redacted
from ocms.log_writer import standard_error

WARNINGS_ONLY = ("connexion", "alembic", "httpx2", "httpcore2", "schedule", "uvicorn")
"""Libraries whose messages below the level of a warning are not logged."""

MAX_LINE = 16 * 1024
"""The maximum size of a line, in bytes. Log collectors split or drop longer lines."""
GROWTH = 6
"""The maximum number of bytes that a character needs in JSON, as in `\\u0000`."""


class _RedactedTraces(structlog.tracebacks.ExceptionDictTransformer):
    """Formats the tracebacks of an exception and its causes, without local variables, which hold keys and bodies."""

    def __init__(self) -> None:
        super().__init__(show_locals=False)

    def __call__(self, exc_info: Any) -> list[dict[str, Any]]:
        """Return the tracebacks. The messages are redacted, since those of libraries may contain secrets."""
        traces = super().__call__(exc_info)
        for trace in traces:
            trace["exc_value"] = redacted(trace["exc_value"])
        return traces


class _LineStream:
    """Writes log lines to a stream without a queue. An error of the stream loses lines, and is not raised."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _NamedLogger:
    """Writes lines; structlog adds its `name` to each of them.

    structlog's own loggers hold a lock while they write, so a signal handler that logs could deadlock.
    """

    def __init__(self, lines: Any, name: str) -> None:
        self._write = lines.write
        self.name = name

    def info(self, line: str) -> None:
        """Write a line."""
        self._write(line + "\n")

    debug = warning = error = critical = info


class _LineReturner(structlog.ReturnLogger):
    """Returns a line instead of writing it."""

    name = __name__


def configure_logging(log_format: str, stream: TextIO | None = None) -> None:
    """Configure logging in the format `json` or `console`, to a stream or, through a thread, to standard error.

    The lines of this service bypass the standard library's `logging`, which takes four times as long.
    """
    lines: Any = _LineStream(stream) if stream else standard_error()
    if not stream:
        standard_error().lost_line = _lost_line
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if log_format == "json":
        tail: list[structlog.typing.Processor] = [
            structlog.processors.ExceptionRenderer(_RedactedTraces()),
            structlog.processors.JSONRenderer(_to_json),
        ]
    else:
        colors = sys.stderr is not None and sys.stderr.isatty()
        tail = [
            structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
            _cut_text,
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
    for name in ("apprise", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they log URLs, which may hold passwords


def _lost_line(count: int) -> str:
    """Return the line that reports the number of lost lines."""
    line: str = structlog.wrap_logger(_LineReturner()).warning("log_lines_lost", count=count)
    return line + "\n"


def _to_json(line: dict[str, Any], **_: object) -> str:
    """Encode a log line of at most `MAX_LINE` bytes. A value of a type that JSON lacks is written as text."""
    try:
        encoded = _encode(line)
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot represent
        line = {
            name: value if isinstance(value, int | float) else _text(value).encode(errors="backslashreplace").decode()
            for name, value in line.items()
        }
        encoded = _encode(line)
    return (encoded if len(encoded) < MAX_LINE else _encode_cut(line)).decode()


def _encode_cut(line: dict[str, Any]) -> bytes:
    """Encode a line that is too long, with its longest values cut and written as text."""
    sizes = {name: len(_encode(value)) for name, value in line.items()}
    line, size = dict(line), len(_encode(line))
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        line[name] = _cut(_text(line[name]), (MAX_LINE - size + sizes[name]) // GROWTH)
        size = len(_encode(line))
        if size < MAX_LINE:
            break
    return _encode(line)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=_as_text)


def _cut(text: str, length: int) -> str:
    """Return the beginning and the end of a text, of about `length` characters together."""
    mark = f" … {len(text)} characters … "
    half = max(0, length - len(mark)) // 2
    return text[:half] + mark + text[len(text) - half :]


def _cut_text(_logger: object, _method: str, text: Any) -> str:
    """Redact a line for a console, since it may contain a traceback, and cut it to about `MAX_LINE` bytes."""
    text = redacted(text)
    return text if len(text.encode(errors="backslashreplace")) < MAX_LINE else _cut(text, MAX_LINE // 4)


def _as_text(value: object) -> str:
    return str(value) if isinstance(value, str) else repr(value)  # SQLAlchemy's names are a subclass of str


_encode = msgspec.json.Encoder(enc_hook=_as_text).encode
