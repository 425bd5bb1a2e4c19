"""The database and the clock for handlers, and methods that call functions of `db`."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from anyio import from_thread
from anyio.to_thread import run_sync

from db.engine import Connection, Database
from domain.rules import Window

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """The database, the window in which court notices may be updated (None for the whole day), and the clock."""

    database: Database
    dayend_window: Window | None
    now: Callable[[], datetime]

    async def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work(conn, …)` in a unit of work that only reads. Raises DatabaseError.

        SQLite runs in-process, in the event loop: a thread costs more than a typical read. SQL Server gets a thread. If
        the call is cancelled, the thread is abandoned, since its result is no longer needed.
        """
        call = partial(self.database.read, work, *args, **kwargs)
        return call() if self.database.is_embedded else await in_thread(call, abandon_on_cancel=True)

    async def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work(conn, …)` in a unit of work that writes, in a thread. Raises DatabaseError.

        A cancelled call waits until the write has finished, so that the response reports its outcome.
        """
        return await in_thread(partial(self.database.write, work, *args, **kwargs))


async def in_thread(call: Callable[[], T], *, abandon_on_cancel: bool = False) -> T:
    """Run a blocking function in a thread of the pool, and return its result.

    The handler of a large call runs in a thread itself, which has no event loop, and blocks here. Even then the event
    loop awaits the function, so a time limit has the same effect.
    """
    run = partial(run_sync, call, abandon_on_cancel=abandon_on_cancel)
    return await run() if _has_event_loop() else from_thread.run(run)


def _has_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
