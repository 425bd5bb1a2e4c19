"""The lines of the log: valid JSON of a bounded size, whatever is logged."""

import io
import json
import logging

import pytest
import structlog

from ocms.logs import MAX_LINE, configure_logging


class Unusual(str):
    """A subclass of str, such as SQLAlchemy's names."""

    __slots__ = ()


def nested(depth):
    if depth:
        try:
            nested(depth - 1)
        except ValueError as error:
            raise ValueError("a text " * 100) from error
    raise ValueError("the first error")


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "x" * 1_000_000},
        {"text": '"' * 100_000},
        {"text": "\x00" * 100_000},
        {"text": "\U0001f600" * 100_000},
        {"texts": ["N1"] * 100_000},
        {"deep": {"a": [{"b": "\u00e9" * 50_000}]}},
        {"first": "x" * 100_000, "second": "y" * 100_000, "third": ["z"] * 100_000},
        {f"field{number}": "x" * 10_000 for number in range(30)},
        {"object": object(), "texts": [Unusual("x") for _ in range(10_000)]},
        {"text": "\ud800" * 50_000},
    ],
    ids=lambda fields: "-".join(fields)[:30],
)
def test_a_line_that_is_too_long_is_cut_and_stays_valid(logs, fields):
    structlog.get_logger("test").info("long", before=1, **fields)
    (text,) = logs.text().splitlines()
    assert len(text.encode()) < MAX_LINE
    line = json.loads(text)
    assert {"event", "level", "timestamp", "before", *fields} <= line.keys()
    assert (line["event"], line["level"], line["before"]) == ("long", "info", 1)


def test_the_beginning_and_the_end_of_what_is_cut_remain(logs):
    structlog.get_logger("test").info("long", text="first" + "x" * 100_000 + "last", small="y" * 2_000)
    (line,) = logs("long")
    assert line["text"].startswith("first")
    assert line["text"].endswith("last")
    assert "100009 characters" in line["text"]
    assert line["small"] == "y" * 2_000


def test_a_line_just_within_the_limit_is_not_cut(logs):
    structlog.get_logger("test").info("line", text="")
    length = MAX_LINE - len(logs.text().encode())
    structlog.get_logger("test").info("line", text="x" * length)
    assert len(logs.text().splitlines(keepends=True)[1]) == MAX_LINE
    assert logs("line")[1]["text"] == "x" * length


def test_a_long_trace_is_cut(logs):
    try:
        nested(60)
    except ValueError:
        structlog.get_logger("test").exception("broken")
        logging.getLogger("a.library").exception("broken as well %s", "y" * 50_000)
    lines = logs.text().splitlines()
    assert len(lines) == 2
    assert all(len(text.encode()) < MAX_LINE and json.loads(text)["level"] == "error" for text in lines)


def test_a_lone_surrogate_is_logged_as_an_escape_sequence(logs):
    structlog.get_logger("test").info("line", text="a\ud800b", count=1)
    assert logs("line")[0]["text"] == "a\\ud800b"


def test_a_line_for_a_console_is_cut_as_well():
    stream = io.StringIO()
    configure_logging("console", stream)
    structlog.get_logger("test").info("long", text="\u00e9" * 100_000)
    assert 1_000 < len(stream.getvalue().encode()) < MAX_LINE


def connect():
    """Fail as libraries do, with an error inside an error."""
    try:
        read_head()
    except ValueError as error:
        raise RuntimeError("the connection string is PWD=s3cret;") from error


def read_head():
    raise ValueError("illegal header line: bytearray(b'X-API-Key : s3cret')")


def test_the_texts_of_a_trace_are_redacted(logs):
    with pytest.raises(RuntimeError) as raised:
        connect()
    structlog.get_logger("test").error("broken", exc_info=raised.value)
    assert "s3cret" not in logs.text()
    assert [trace["exc_type"] for trace in logs("broken")[0]["exception"]] == ["RuntimeError", "ValueError"]


def test_a_trace_on_a_console_is_redacted_as_well():
    stream = io.StringIO()
    configure_logging("console", stream)
    structlog.get_logger("test").error("broken", exc_info=ValueError("PWD=s3cret;"))
    assert "PWD=***;" in stream.getvalue()
    assert "s3cret" not in stream.getvalue()


@pytest.mark.parametrize("library", ["apprise", "urllib3.connectionpool", "urllib3.response"])
def test_libraries_that_log_the_addresses_of_channels_log_nothing(logs, library):
    logging.getLogger(library).error("Failed to parse headers (url=https://hook/s3cret)")
    assert logs.text() == ""
