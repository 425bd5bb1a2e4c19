"""Logging: one line for each event, as JSON or for a console, from our code and the libraries alike."""

import logging
import sys
from typing import TextIO

import msgspec
import structlog

QUIET = ("connexion", "alembic", "httpx2", "httpcore2", "schedule", "uvicorn")
"""Libraries of whom only warnings are of interest."""


_traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold keys and bodies


def configure_logging(log_format: str, stream: TextIO | None = None) -> None:
    """Send every log line to a stream, standard error by default, as `json` or for a `console`."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
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
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
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
