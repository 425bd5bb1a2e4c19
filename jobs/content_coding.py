"""Decompress a response with the content coding gzip or deflate, in pieces of bounded size."""

import zlib
from collections.abc import Iterable, Iterator, Sequence

ACCEPTED = "gzip, deflate"
"""The value of `Accept-Encoding`."""
PIECE = 2**16
"""The maximum size of a decompressed piece, in bytes."""
_GZIP, _ZLIB, _RAW = 31, 15, -15  # the `wbits` argument of zlib
_ZLIB_METHOD = 8  # the low four bits of the first byte of a zlib header


class ContentCodingError(ValueError):
    """The body is not what its `Content-Encoding` says."""


class TruncatedContentError(ValueError):
    """The compressed body ends early."""


def decoded(pieces: Iterable[bytes], codings: Sequence[str]) -> Iterator[bytes]:
    """Yield a body decompressed. `codings` are the values of `Content-Encoding`.

    An unknown coding is ignored, since servers send values such as `utf-8`. Raises ContentCodingError and
    TruncatedContentError, and whatever `pieces` raises.
    """
    match [coding for coding in map(str.lower, codings) if coding in ("gzip", "x-gzip", "deflate")]:
        case []:
            yield from pieces
        case ["deflate"]:
            yield from _inflate(pieces, gzip=False)
        case [_]:
            yield from _inflate(pieces, gzip=True)
        case several:
            raise ContentCodingError(f"it has the content codings {', '.join(several)} instead of one")


def _inflate(pieces: Iterable[bytes], *, gzip: bool) -> Iterator[bytes]:
    """Decompress gzip, any number of members (RFC 1952, section 2.2), or deflate, with or without zlib's header."""
    stream, padding = None, b""
    for piece in pieces:
        rest = piece if stream else piece.lstrip(padding)
        while rest:
            if stream is None:
                zlib_header = rest[0] & 15 == _ZLIB_METHOD
                stream = zlib.decompressobj(_GZIP if gzip else _ZLIB if zlib_header else _RAW)
            try:
                while (block := stream.decompress(rest, PIECE)) and not stream.eof:
                    yield block
                    rest = stream.unconsumed_tail
            except zlib.error as error:
                raise ContentCodingError(str(error)) from error
            yield block
            rest = b""
            if stream.eof:
                padding = b"\0"  # zeros may follow a member as padding
                rest, stream = stream.unused_data.lstrip(padding), None
    if stream:
        raise TruncatedContentError("the compressed data ends early")
