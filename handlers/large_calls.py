"""Running the handler of a large call in a thread, so that it does not block the event loop."""

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from anyio import from_thread
from anyio.to_thread import run_sync

T = TypeVar("T")

_turn: ContextVar["Lock | None"] = ContextVar("turn", default=None)
"""In the thread of a large call: the lock that it holds while it computes. None on the event loop."""


def run_in_turn(work: Callable[[], Coroutine[Any, Any, T]], turn: Lock) -> T:
    """Run `work`, which calls a handler, to its end in this thread, which anyio has started, and return its result.

    The thread holds `turn` while it computes, and releases it in `in_thread`. Threads that compute at the same time
    would not be faster, since the GIL lets one run at a time, and would delay the event loop.

    Raises TypeError if the handler awaits anything else than `in_thread`.
    """
    with turn:
        _turn.set(turn)
        coroutine = work()
        try:
            coroutine.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        coroutine.close()
        raise TypeError("a handler of a large call may await only the methods of handlers.services")


async def in_thread(call: Callable[[], T], *, abandon_on_cancel: bool = False) -> T:
    """Run a blocking function in a thread of the pool, and return its result.

    The thread of a large call blocks here. The event loop awaits the function in that case too, so a time limit
    cancels it in the same way.
    """
    run, turn = partial(run_sync, call, abandon_on_cancel=abandon_on_cancel), _turn.get()
    if turn is None:
        return await run()
    turn.release()
    try:
        return from_thread.run(run)
    finally:
        turn.acquire()
