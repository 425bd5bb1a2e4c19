"""Standard input, output and error of a command, which may be closed, full, or in another encoding."""

import errno
import io
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import typer

from domain.errors import OperatorError

MAX_LINE = 2**16
"""The maximum number of bytes read as one line of standard input. /dev/zero, for example, has no end of line."""


class _Stream(io.FileIO):
    """Standard output or error, without a buffer, so that an error is raised where the text is written."""

    def __init__(self, stream: TextIO, *, required: bool) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        self._required = required
        self._is_lost = False

    def write(self, data: Any, /) -> int:
        """Write all bytes, or discard them after an error.

        Raises OperatorError for the first error of a required stream. A pipe without a reader is not an error, since
        `| head` closes its end when it has read enough.
        """
        rest = memoryview(data)
        try:
            while rest and not self._is_lost:
                written: int | None = super().write(rest)
                if written is None:  # another process has made the pipe non-blocking, and it is full
                    select.select([], [self], [])
                else:
                    rest = rest[written:]
        except OSError as error:
            self._is_lost = True
            if self._required and error.errno != errno.EPIPE:
                reason = "it is not open for writing" if error.errno == errno.EBADF else error.strerror
                raise OperatorError(f"cannot write to standard output: {reason}") from error
        return len(data)


def set_up_streams() -> None:
    """Replace standard output and error: errors of output raise OperatorError, those of standard error are ignored.

    A closed stream is replaced by /dev/null. Otherwise the next file that is opened, such as the database, would get
    its descriptor, and a library or a child that writes to standard output would write into that file. Standard output
    is opened for reading only, so that writing to it still fails.
    """
    for number, (name, flags) in enumerate((("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY))):
        if getattr(sys, name) is None:
            os.set_inheritable(os.open(os.devnull, flags), True)  # noqa: FBT003  # takes no keyword
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115  # never closed
    sys.stdout = _text(sys.stdout, required=True)
    sys.stderr = _text(sys.stderr, required=False)


def _text(stream: TextIO, *, required: bool) -> TextIO:
    """Return a text stream. A character that its encoding lacks is written as an escape sequence."""
    raw = _Stream(stream, required=required)
    return io.TextIOWrapper(raw, stream.encoding, "backslashreplace", write_through=True)


def is_standard_output(path: Path) -> bool:
    """Return whether a path is `-`, or the file of standard output, as /dev/stdout is."""
    if str(path) == "-":
        return True
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    return False


def read_secret(name: str) -> str:
    """Ask for a secret at a terminal, or read it from the first line of standard input.

    Raises OperatorError if it cannot be read, is empty, or is not UTF-8.
    """
    try:
        if sys.stdin.isatty():
            text = str(typer.prompt(name, hide_input=True))
        else:
            text = sys.stdin.buffer.readline(MAX_LINE).decode("utf-8-sig")  # Windows programs write a BOM
        text.encode()  # fails for surrogates, which stand for bytes that are not UTF-8 in the C locale
    except UnicodeError:
        text = "\0"
    except OSError as error:
        raise OperatorError(f"cannot read standard input: {error.strerror}") from error
    if "\0" in text:  # UTF-16 without a BOM is often valid UTF-8 with null characters
        raise OperatorError("standard input is not UTF-8")
    if not text.strip():
        raise OperatorError("standard input is empty")
    return text.strip()
