"""h11, with the checks of RFC 9110 and RFC 9112 that it leaves out.

A gateway and this service must agree where each request ends; otherwise a request can hide in the body of another one.
A request about whose end they could disagree is refused like other invalid HTTP: `next_event` raises
h11.RemoteProtocolError.
"""

import re
from enum import StrEnum
from typing import Any

import h11
from h11._receivebuffer import ReceiveBuffer

_TEXT = rb"[\t\x20-\x7e\x80-\xff]"
_LINES = re.compile(rb"(?:%b++\r\n(?![ \t]))*+\r\n" % _TEXT)
"""The lines of a request head, or the trailers of a chunked body, without folded lines and control characters."""
_CHUNK_LINE = re.compile(rb"[0-9A-Fa-f]{1,16}(?:;%b*+)?\r\n" % _TEXT)
"""The line before the data of a chunk. The chunk size has at most 64 bits, the limit of many other servers."""
_MAX_EXTENSIONS = 16 * 1024
"""The maximum total bytes of the chunk extensions of a body, which do not count towards the size of the body."""
_FREE_CHUNKS = 12_000
"""The number of chunks that a body may have, whatever their size: one for each record. h11 needs 15 µs for a chunk."""
_AVERAGE_CHUNK = 64
"""Bytes. A body may have one more chunk for each so many bytes of data."""
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_LENGTH = b"\ncontent-length:"
_VERSIONS = (b"1.0", b"1.1")
_HOST = rb"(?:[\w.~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?"
_HOST_FIELD = re.compile(rb"(?:%b)?" % _HOST)
_ABSOLUTE = re.compile(rb"(?i:https?)://(?P<host>%b)(?P<path>/[^?]*)?(?P<query>\?.*)?" % _HOST)


class Fault(StrEnum):
    """Why a request is refused. The log may show it, since it contains no byte of the request."""

    LINES = "a line end, a folded line or a character is invalid"
    LENGTHS = "more than one Content-Length"
    CHUNK_LINE = "the line before the data of a chunk is invalid"
    EXTENSIONS = "the chunk extensions are too long"
    CHUNKS = "the chunks are too small"
    VERSION = "the version is neither HTTP/1.0 nor HTTP/1.1"
    CODING = "Transfer-Encoding together with Content-Length or HTTP/1.0"
    HOST = "the Host is invalid"
    TARGET = "this server does not support the form of the request target"


class StrictConnection(h11.Connection):
    """The server's side of a connection, with the additional checks."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER)
        self._receive_buffer: StrictBuffer = StrictBuffer()

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event. A request in absolute form gets the path and the host of its target."""
        if self.their_state is h11.IDLE:
            self._receive_buffer.skip_empty_lines()
        event = super().next_event()
        if type(event) is h11.Request and not event.target.startswith(b"/"):
            return _from_absolute_form(event)
        return event

    def _process_event(self, role: Any, event: h11.Event) -> None:
        if type(event) is h11.Request:
            _require_valid(event)
        super()._process_event(role, event)


class StrictBuffer(ReceiveBuffer):
    """The bytes that are not parsed yet. h11 accepts a bare line feed as a line end; this class refuses it."""

    def __init__(self) -> None:
        super().__init__()
        self._extensions = 0
        """The bytes of chunk extensions in the current body so far."""
        self._chunks = self._chunk_bytes = 0
        """The number of chunks in the current body so far, and the sum of their sizes in bytes."""

    def skip_empty_lines(self) -> None:
        """Remove empty lines before a request, which some clients send after a body (RFC 9112, section 2.2)."""
        if empty := _EMPTY_LINES.match(self._data):
            self._extract(empty.end())

    def is_next_line_obviously_invalid_request_line(self) -> bool:
        """Return whether the first byte can begin neither a request nor an empty line."""
        return self._data != b"\r" and super().is_next_line_obviously_invalid_request_line()

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines of a head or of trailers if all have arrived. Raises h11.LocalProtocolError."""
        received = bytes(self)
        lines = super().maybe_extract_lines()
        if lines is None:
            return None
        text = received[: len(received) - len(self)]
        if not _LINES.fullmatch(text):
            raise h11.LocalProtocolError(Fault.LINES)
        self._extensions = self._chunks = self._chunk_bytes = 0
        _, *lengths = text.lower().split(_LENGTH)
        if len(lengths) > 1 or (lengths and b"," in lengths[0].partition(b"\r")[0]):
            raise h11.LocalProtocolError(Fault.LENGTHS)
        return lines

    def maybe_extract_next_line(self) -> bytearray | None:
        """Return the line before the data of a chunk if it has arrived. Raises h11.LocalProtocolError."""
        line = super().maybe_extract_next_line()
        if line is None:
            return None
        if not _CHUNK_LINE.fullmatch(line):
            raise h11.LocalProtocolError(Fault.CHUNK_LINE)
        size, _, extension = line.partition(b";")
        self._extensions += len(extension)
        self._chunks += 1
        self._chunk_bytes += int(size, 16)
        if self._extensions > _MAX_EXTENSIONS:
            raise h11.LocalProtocolError(Fault.EXTENSIONS)
        if self._chunks > _FREE_CHUNKS + self._chunk_bytes // _AVERAGE_CHUNK:
            raise h11.LocalProtocolError(Fault.CHUNKS)
        return line


def _require_valid(request: h11.Request) -> None:
    """Raise h11.LocalProtocolError if a request violates RFC 9110 or RFC 9112, or has an unsupported form of target."""
    headers = dict(request.headers)
    if request.http_version not in _VERSIONS:
        raise h11.LocalProtocolError(Fault.VERSION)
    if b"transfer-encoding" in headers and (b"content-length" in headers or request.http_version == b"1.0"):
        raise h11.LocalProtocolError(Fault.CODING)
    if not _HOST_FIELD.fullmatch(headers.get(b"host", b"")):
        raise h11.LocalProtocolError(Fault.HOST)
    if request.method == b"CONNECT" or not (
        request.target.startswith(b"/")
        or (request.target == b"*" and request.method == b"OPTIONS")
        or _ABSOLUTE.fullmatch(request.target)
    ):
        raise h11.LocalProtocolError(Fault.TARGET)


def _from_absolute_form(request: h11.Request) -> h11.Request:
    """Return the request in origin form. The host of the target replaces the Host (RFC 9112, section 3.2.2)."""
    parts = _ABSOLUTE.fullmatch(request.target)
    if not parts:
        return request
    host, path, query = parts.group("host", "path", "query")
    headers = [item for item in request.headers.raw_items() if item[0].lower() != b"host"]
    return h11.Request(
        method=request.method,
        target=(path or b"/") + (query or b""),
        headers=[(b"Host", host), *headers],
        http_version=request.http_version,
    )
