"""One module for each operation of the contract, named after it: parse, one call down, shape the reply."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Concatenate, ParamSpec, TypeVar

from anyio.to_thread import run_sync

from db.engine import Database
from ocms.call import Handler
from ocms.contract import Contract
from ocms.errors import OperatorError
from ocms.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers work with."""

    database: Database
    settings: Settings
    now: Callable[[], datetime]

    async def read(self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function of `db` with a unit of work that only reads, in a thread where it waits for a server.

        Nobody waits for that thread when the call takes too long. Raises DatabaseError.
        """
        call = partial(self.database.read, work, *args, **kwargs)
        return call() if self.database.is_embedded else await run_sync(call, abandon_on_cancel=True)

    async def write(self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function of `db` with a unit of work that writes, in a thread. Raises DatabaseError."""
        return await run_sync(partial(self.database.write, work, *args, **kwargs))


def load_handlers(contract: Contract, services: Services) -> dict[str, Handler]:
    """Return the handler of each operation: `getPaymentStatus` is served by ``handlers/get_payment_status.py``.

    Raises OperatorError when an operation has no module.
    """
    if missing := missing_modules(contract):
        raise OperatorError(f"the contract has operations without a module: {', '.join(missing)}")
    return {
        operation_id: partial(import_module(f"handlers.{module_name(operation_id)}").handle, services)
        for operation_id in contract.operations
    }


def missing_modules(contract: Contract) -> list[str]:
    """Return the modules that operations of a contract should have and do not."""
    modules = [f"handlers.{module_name(operation_id)}" for operation_id in contract.operations]
    return [module for module in modules if find_spec(module) is None]


def module_name(operation_id: str) -> str:
    """Return the name of the module that serves an operation."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation_id).lower()
