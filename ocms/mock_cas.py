"""A mock CAS, served by connexion from ``openapi/cas.yaml``, with faults to rehearse with."""

import signal
import socket
from functools import partial

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db.sample_data import vehicles
from ocms.call import Call, Reply
from ocms.contract import Contract
from ocms.engine import contract_app
from ocms.errors import OperatorError, ServerError
from ocms.faults import Fault
from ocms.keys import ApiKey, KeyRing, hash_key
from ocms.pages import contract_pages

DEMO_KEY = "demo-ocms-key"
"""The key that the mock accepts unless it is given another one."""
SLOW_SECONDS = 60.0


def create_mock_cas(
    count: int,
    fault: Fault = Fault.NONE,
    *,
    key: str = DEMO_KEY,
) -> ASGIApp:
    """Return the app of a CAS that has `count` VIP vehicles, always the same."""
    contract = Contract.load("cas")
    app = contract_app(
        contract,
        dict.fromkeys(contract.operations, partial(_get_vip_vehicles, count, fault)),
        keys=KeyRing(ApiKey(caller, hash_key(key)) for caller in contract.callers()),
        pages=contract_pages(contract),
    )
    return partial(_spoil, app, fault)


def refuse_until_stopped(host: str, port: int) -> None:
    """Hold a port so that it refuses every connection, until SIGINT or SIGTERM: the fault `down`."""
    with socket.socket() as holder:
        try:
            holder.bind((host, port))  # bound and not listening
        except OSError as error:
            raise OperatorError(f"cannot hold {host}:{port}: {error.strerror}; choose another port") from error
        signals = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        signal.sigwait(signals)


def _get_vip_vehicles(count: int, fault: Fault, _: Call) -> Reply:
    found = list(vehicles(count))
    match fault:
        case Fault.HTTP_500:
            raise ServerError("as asked by --fault http-500")
        case Fault.EMPTY:
            found = []
        case Fault.INVALID:
            found[0] |= {"vehicle_no": None}
        case Fault.DUPLICATE:
            found.append(found[0])
    return Reply(200, found)


async def _spoil(app: ASGIApp, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Spoil a good answer on its way out."""
    spoiled = False

    async def send_spoiled(message: Message) -> None:
        nonlocal spoiled
        if message["type"] == "http.response.start":
            spoiled = message["status"] == 200 and scope["method"] == "POST"  # noqa: PLR2004  # a success
            if spoiled and fault is Fault.SLOW:
                await anyio.sleep(SLOW_SECONDS)
        elif spoiled and fault is Fault.TRUNCATED:
            message["body"] = message["body"][: len(message["body"]) // 2]
        elif spoiled and fault is Fault.NOT_JSON:
            message["body"] = b"<html>CAS is under maintenance.</html>".ljust(len(message["body"]))
        await send(message)

    await app(scope, receive, send_spoiled if scope["type"] == "http" else send)
