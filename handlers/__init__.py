"""One module for each operation of the contract, named after it: take the parsed input, make one call down, respond."""

import re
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from contract.call import Handler
from contract.document import Contract
from domain.errors import OperatorError
from handlers.services import Services


def load_handlers(contract: Contract, services: Services) -> dict[str, Handler]:
    """Return the handler of each operation: `getPaymentStatus` is served by ``handlers/get_payment_status.py``.

    Raises OperatorError if an operation has no module.
    """
    if missing := missing_modules(contract):
        raise OperatorError(f"the contract has operations without a module: {', '.join(missing)}")
    return {
        operation_id: partial(import_module(f"handlers.{module_name(operation_id)}").handle, services)
        for operation_id in contract.operations
    }


def missing_modules(contract: Contract) -> list[str]:
    """Return the modules that operations of a contract need and that do not exist."""
    modules = [f"handlers.{module_name(operation_id)}" for operation_id in contract.operations]
    return [module for module in modules if find_spec(module) is None]


def module_name(operation_id: str) -> str:
    """Return the name of the module that serves an operation."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation_id).lower()
