"""Write log lines in a separate thread, so that a full pipe or a slow disk never delays a caller.

The queue of lines is bounded. A line that does not fit is dropped and counted.
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
"""The maximum size of the queue, in bytes. It holds 10,000 lines of 400 bytes."""
GATHER = 0.01
"""Seconds for which the thread collects lines after the first one. Waking it for each line would slow callers down."""
CLOSE_SECONDS = 1.0
"""The maximum number of seconds for which the process waits at its end until the queue is written."""


class LogWriter:
    """Writes lines to a file descriptor; None discards them."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self.lost_line: Callable[[int], str] = "{} lines of the log were lost\n".format
        """Returns the line that reports the number of lost lines. It follows the next lines that can be written."""
        self._waiting: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        self._lock = threading.RLock()  # re-entrant, because a signal handler may log
        self._size = 0
        """The number of bytes in the queue and in the chunk that is being written."""
        self._lost = 0
        self._thread: threading.Thread | None = None
        self._patience = CLOSE_SECONDS
        self._is_broken_off = False
        """The last line was written in part only, so that the next one must not follow on the same line."""

    def write(self, text: str) -> None:
        """Add a line to the queue; never block."""
        if self._descriptor is None:
            return
        line = text.encode(errors="backslashreplace")
        with self._lock:
            if self._size + len(line) > QUEUE_SIZE:
                self._lost += 1
                return
            self._size += len(line)
            if self._thread is None:
                self._start()
        self._waiting.put(line)

    def flush(self) -> None:
        """Do nothing: the thread writes each line soon. The standard library's `logging` calls this."""

    def close(self) -> None:
        """Wait until the queue is written. All calls together wait for at most `CLOSE_SECONDS`."""
        if self._thread is None:
            return
        written, begun = threading.Event(), time.monotonic()
        self._waiting.put(written)
        written.wait(self._patience)
        self._patience = max(0.0, self._patience - (time.monotonic() - begun))

    def _start(self) -> None:
        # A daemon thread: otherwise a pipe that nobody reads would keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            if isinstance(first, bytes):
                time.sleep(GATHER)
            chunk = b""
            for item in chain([first], self._arrived()):
                if isinstance(item, threading.Event):
                    self._write_chunk(chunk)
                    chunk = b""
                    item.set()
                elif chunk and len(chunk) + len(item) > select.PIPE_BUF:
                    self._write_chunk(chunk)
                    chunk = item
                else:
                    chunk += item
            self._write_chunk(chunk)

    def _arrived(self) -> Iterator[bytes | threading.Event]:
        with suppress(Empty):
            while True:
                yield self._waiting.get_nowait()

    def _write_chunk(self, chunk: bytes) -> None:
        """Write whole lines. A pipe takes PIPE_BUF bytes atomically, so processes that share it do not mix them."""
        if not chunk:
            return
        written = self._write_all(chunk)
        with self._lock:
            self._size -= len(chunk)
            lost, self._lost = self._lost + (0 if written else chunk.count(b"\n")), 0
        if lost and not (written and self._write_all(self.lost_line(lost).encode())):
            with self._lock:
                self._lost += lost

    def _write_all(self, data: bytes) -> bool:
        """Write bytes. Return False if that fails, for example because the reader is gone or the disk is full."""
        assert self._descriptor is not None  # noqa: S101  # `write` adds no line without one
        rest = b"\n" + data if self._is_broken_off else data
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # another process has made the shared stream non-blocking
                select.select([], [self._descriptor], [])
            except OSError:
                self._is_broken_off |= len(rest) < len(data)
                return False
        self._is_broken_off = False
        return True


@cache
def standard_error() -> LogWriter:
    """Return the writer of this process for standard error."""
    try:
        return LogWriter(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # closed, or replaced by something without a descriptor
        return LogWriter(None)
