"""The database and the clock for handlers, and methods that call functions of `db`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from db.engine import Connection, Database
from domain.rules import Window
from handlers.large_calls import in_thread

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

        SQLite runs in-process, in the current thread: another thread costs more than a typical read. SQL Server gets a
        thread. If the call is cancelled, the thread is abandoned, since its result is no longer needed.
        """
        call = partial(self.database.read, work, *args, **kwargs)
        return call() if self.database.is_embedded else await in_thread(call, abandon_on_cancel=True)

    async def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work(conn, …)` in a unit of work that writes, in a thread. Raises DatabaseError.

        A cancelled call waits until the write has finished, so that the response reports its outcome.
        """
        return await in_thread(partial(self.database.write, work, *args, **kwargs))
