"""What handlers work with, and how they call a function of `db`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from anyio.to_thread import run_sync

from db.engine import Connection, Database
from domain.rules import Window

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """The database, the window in which court updates are accepted (None for the whole day), and the clock."""

    database: Database
    dayend_window: Window | None
    now: Callable[[], datetime]

    async def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work(conn, …)` in a unit of work that only reads. Raises DatabaseError.

        SQLite runs in-process, without a thread: a thread costs more than a typical read. SQL Server gets a thread,
        which is abandoned if the call is cancelled, since its result is not needed then.
        """
        call = partial(self.database.read, work, *args, **kwargs)
        return call() if self.database.is_embedded else await run_sync(call, abandon_on_cancel=True)

    async def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work(conn, …)` in a unit of work that writes, in a thread. Raises DatabaseError.

        A cancelled call waits until the write has finished, so that the response says what became of it.
        """
        return await run_sync(partial(self.database.write, work, *args, **kwargs))
