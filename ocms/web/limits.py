"""Limits on the calls and the body bytes of a worker, and on the share of one caller. A call beyond them gets a 503."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.document import Contract
from contract.errors import BusyError
from domain.errors import OperatorError
from ocms.settings import Settings
from ocms.web.request_state import RequestState, request_state

T = TypeVar("T")

PART = 2**18
"""The maximum number of bytes of a response that are passed on at a time."""
EXPECT = (b"expect", b"100-continue")


class Gate:
    """Limits how many calls are served at a time, how many wait, and how long they wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = anyio.Semaphore(settings.max_requests, fast_acquire=True)
        own = _share(settings, settings.max_requests)
        self._own_places = defaultdict[str, anyio.Semaphore](lambda: anyio.Semaphore(own, fast_acquire=True))
        self._waiting = Counter[str]()

    async def serve(self, state: RequestState, work: Callable[[], Awaitable[T]]) -> T:
        """Await `work`. Raises BusyError if there is no room for it, or if it takes longer than `request_timeout`.

        A write in progress finishes first; otherwise we would respond with 503 for a change that then commits.
        """
        caller = state.caller or ""
        own_places = self._own_places[caller]
        if own_places.value and self._places.value:
            own_places.acquire_nowait()
            self._places.acquire_nowait()
        else:
            await self._wait(own_places, caller, state.arrived)
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self._settings.request_timeout):
                return await work()
        finally:
            self._places.release()
            own_places.release()
        raise BusyError(f"a call took longer than {self._settings.request_timeout:g} s")

    async def _wait(self, own_places: anyio.Semaphore, caller: str, arrived: float | None) -> None:
        """Wait for a place of the caller's share, then for one of all places.

        In the other order, a caller could hold one of all places while it waits for its share.
        """
        limit, max_wait = self._settings.max_waiting, self._settings.max_wait
        if self._waiting.total() >= limit or self._waiting[caller] >= _share(self._settings, limit):
            raise BusyError("too many calls are waiting")
        self._waiting[caller] += 1
        try:
            with anyio.fail_after(max_wait - waited(arrived)):
                await own_places.acquire()
                try:
                    await self._places.acquire()
                except BaseException:
                    own_places.release()
                    raise
        except TimeoutError:
            raise BusyError(f"a call waited longer than {max_wait:g} s") from None
        finally:
            self._waiting[caller] -= 1


class BodyLimit:
    """Limits the bytes of bodies in memory.

    A request body counts from its arrival until the response has been passed on. A long response is passed on in parts,
    as fast as the caller reads, and counts until then; it is never refused, since the work is done.
    """

    def __init__(self, app: ASGIApp, contract: Contract, settings: Settings) -> None:
        """Raise OperatorError if the limit excludes a body that the contract allows."""
        self._app = app
        self._limit = settings.max_received_bytes
        self._own_limit = _share(settings, settings.max_received_bytes)
        self._held = 0
        self._held_by = Counter[str]()
        largest = max(operation.body.max_bytes for operation in contract.operations.values() if operation.body)
        if self._own_limit < largest:
            least = math.ceil(largest / settings.caller_share)
            raise OperatorError(
                f"OCMS_MAX_RECEIVED_BYTES must be at least {least}: with OCMS_CALLER_SHARE={settings.caller_share:g}, "
                f"a body of {largest} bytes, which the contract allows, would exceed the share of a caller"
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises BusyError while its body arrives, if it exceeds the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state, held, caller = request_state(scope), 0, ""
        has_asked = False  # whether the application has begun to read the body

        def hold(body: bytes) -> None:
            nonlocal held, caller
            caller = state.caller or ""  # known before a body is read
            held += len(body)
            self._held += len(body)
            self._held_by[caller] += len(body)

        async def receive_within_limit() -> Message:
            nonlocal has_asked
            begun, has_asked = time.monotonic(), True
            message = await receive()
            if state.arrived:
                state.arrived += time.monotonic() - begun  # time spent waiting for the caller does not count
            hold(message.get("body", b""))
            if self._held_by[caller] > self._own_limit or self._held > self._limit:
                raise BusyError("too many bytes of bodies are in memory")
            return message

        async def send_in_parts(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The body was not asked for. A client that waits for 100 Continue may send it or not, so what it sends
                # next could be a body or a request: the connection must close.
                state.closing |= not has_asked and EXPECT in scope["headers"]
            body = message.get("body", b"")
            if len(body) <= PART:
                await send(message)
                return
            hold(body)
            for start in range(0, len(body), PART):
                part, more = body[start : start + PART], start + PART < len(body) or message.get("more_body", False)
                await send({"type": "http.response.body", "body": part, "more_body": more})

        try:
            await self._app(scope, receive_within_limit, send_in_parts)
        finally:
            self._held -= held
            self._held_by[caller] -= held
            state.body = None  # the connection keeps the state of its last request


def waited(arrived: float | None) -> float:
    """Return the seconds that a request has waited for the service since `arrived`; 0 if that is None."""
    return time.monotonic() - arrived if arrived else 0.0


def _share(settings: Settings, limit: int) -> int:
    """Return the part of a limit that one caller may take, at least 1."""
    return min(limit, max(1, int(limit * settings.caller_share)))
