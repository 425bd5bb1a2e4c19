"""The limit on the calls that a worker serves at a time. A call beyond it is refused with 503."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import anyio

from contract.errors import BusyError
from ocms.settings import Settings

T = TypeVar("T")


class Gate:
    """Serves a limited number of calls at a time. A limited number waits, for a limited time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = anyio.Semaphore(settings.max_requests, fast_acquire=True)
        self._waiting = 0

    async def serve(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await `work`. Raises BusyError if there is no room for it, or if it takes longer than `request_timeout`.

        A write in progress finishes first; otherwise we would respond with 503 for a change that then commits.
        """
        await self._enter()
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self._settings.request_timeout):
                return await work()
        finally:
            self._places.release()
        raise BusyError(f"a call took longer than {self._settings.request_timeout:g} s")

    async def _enter(self) -> None:
        with suppress(anyio.WouldBlock):
            self._places.acquire_nowait()
            return
        if self._waiting >= self._settings.max_waiting:
            raise BusyError("too many calls are waiting")
        self._waiting += 1
        try:
            with anyio.fail_after(self._settings.max_wait):
                await self._places.acquire()
        except TimeoutError:
            raise BusyError(f"a call waited longer than {self._settings.max_wait:g} s") from None
        finally:
            self._waiting -= 1
