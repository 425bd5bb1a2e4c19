"""Writing log lines in a thread of their own, so that a full pipe or a slow disk never delays a caller.

The lines that wait are bounded. A line that finds no place is lost and counted.
"""

import atexit
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import chain
from queue import Empty, SimpleQueue

QUEUE_SIZE = 4 * 2**20
"""The maximum size of the lines that wait, in characters. At 400 characters a line it is 10,000 lines."""
GATHER = 0.01
"""Seconds for which the thread gathers lines after the first one. Waking it for each line would slow callers down."""
CLOSE_SECONDS = 1.0
"""How long the end of the process waits until the lines are written."""


class LogWriter:
    """Writes lines to a file descriptor; None discards them."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self.lost_line: Callable[[int], str] = "{} lines of the log were lost\n".format
        """Returns the line that says how many lines were lost. It is written once there is place again."""
        self._waiting: SimpleQueue[str | threading.Event] = SimpleQueue()
        self._lock = threading.RLock()  # re-entrant, because a signal handler may log
        self._size = 0
        """The characters of the lines that wait or are being written."""
        self._lost = 0
        self._thread: threading.Thread | None = None
        self._patience = CLOSE_SECONDS

    def write(self, text: str) -> None:
        """Add a line to those that wait; never block."""
        if self._descriptor is None:
            return
        with self._lock:
            if self._size + len(text) > QUEUE_SIZE:
                self._lost += 1
                return
            self._size += len(text)
            if self._thread is None:
                self._start()
        self._waiting.put(text)

    def flush(self) -> None:
        """Do nothing: the thread writes each line soon. The standard library's `logging` calls this."""

    def close(self) -> None:
        """Wait until all lines are written, for at most `CLOSE_SECONDS` in all calls together."""
        if self._thread is None:
            return
        written, begun = threading.Event(), time.monotonic()
        self._waiting.put(written)
        written.wait(self._patience)
        self._patience = max(0.0, self._patience - (time.monotonic() - begun))

    def _start(self) -> None:
        # A daemon, because the end of the process must not wait for a pipe that nobody reads.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            if isinstance(first, str):
                time.sleep(GATHER)
            chunk = ""
            for item in chain([first], self._arrived()):
                if isinstance(item, threading.Event):
                    self._write_chunk(chunk)
                    chunk = ""
                    item.set()
                elif chunk and len(chunk) + len(item) > select.PIPE_BUF:
                    self._write_chunk(chunk)
                    chunk = item
                else:
                    chunk += item
            self._write_chunk(chunk)

    def _arrived(self) -> Iterator[str | threading.Event]:
        with suppress(Empty):
            while True:
                yield self._waiting.get_nowait()

    def _write_chunk(self, chunk: str) -> None:
        """Write whole lines. Up to PIPE_BUF bytes stay in one piece if several processes share a pipe."""
        if not chunk:
            return
        written = self._write_all(chunk)
        with self._lock:
            self._size -= len(chunk)
            lost, self._lost = self._lost + (0 if written else chunk.count("\n")), 0
        if lost and not (written and self._write_all(self.lost_line(lost))):
            with self._lock:
                self._lost += lost

    def _write_all(self, text: str) -> bool:
        """Write a text, and return whether that succeeded: the reader may be gone, or the disk full."""
        assert self._descriptor is not None  # noqa: S101  # `write` adds no line without one
        data = text.encode(errors="backslashreplace")
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another process that shares the stream has made it non-blocking
                select.select([], [self._descriptor], [])
            except OSError:
                return False
        return True


@cache
def standard_error() -> LogWriter:
    """Return the writer of this process for standard error."""
    try:
        return LogWriter(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # closed, or replaced by something without a descriptor
        return LogWriter(None)
