"""How much a worker takes on at a time; what is more is told to come back later."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeVar

import anyio

from ocms.errors import BusyError
from ocms.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a worker; times are seconds. `ocms/settings.py` describes each."""

    connections: int
    requests: int
    waiting: int
    wait: float
    request_time: float
    body_time: float
    body_bytes: int | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of the settings."""
        return cls(
            settings.max_connections,
            settings.max_requests,
            settings.max_waiting,
            settings.max_wait,
            settings.request_timeout,
            settings.body_timeout,
            settings.max_body_bytes,
        )


DEFAULT = Limits.of(Settings.model_construct())
"""The limits where there are no settings, as for the mock CAS."""


class Gate:
    """Lets so many calls be served at a time; a bounded number waits, for a bounded time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = anyio.Semaphore(limits.requests, fast_acquire=True)
        self._waiting = 0

    async def serve(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await what serves a call. Raises BusyError when there is no room, or when it takes too long.

        What is being written is finished first, so that a time limit is no error for what comes true later.
        """
        await self._enter()
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self._limits.request_time):
                return await work()
        finally:
            self._places.release()
        raise BusyError(f"a call took longer than {self._limits.request_time:g} s")

    async def _enter(self) -> None:
        with suppress(anyio.WouldBlock):
            self._places.acquire_nowait()
            return
        if self._waiting >= self._limits.waiting:
            raise BusyError("too many calls are waiting")
        self._waiting += 1
        try:
            with anyio.fail_after(self._limits.wait):
                await self._places.acquire()
        except TimeoutError:
            raise BusyError(f"a call waited longer than {self._limits.wait:g} s") from None
        finally:
            self._waiting -= 1
