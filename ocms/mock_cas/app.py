"""A mock CAS, served by connexion from ``openapi/cas.yaml``, with faults to rehearse with."""

from functools import partial
from typing import Annotated, Any

import anyio
import msgspec
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.call import Call, Response
from contract.document import Contract
from contract.errors import ServerError
from ocms.keys import ApiKey, KeyRing, hash_key
from ocms.mock_cas.faults import Fault
from ocms.mock_cas.vehicles import vehicles
from ocms.settings import DEFAULTS
from ocms.web.contract_app import contract_app
from ocms.web.envelope import Envelope
from ocms.web.security import Credentials

DEMO_KEY = "demo-ocms-key"
"""The key that the mock accepts unless it is given another one."""
SLOW_SECONDS = 60.0
DRIP_BYTES = 16
DRIP_SECONDS = 1.0


class MockCas(msgspec.Struct, forbid_unknown_fields=True):
    """How the mock behaves; it can be changed while it runs."""

    vehicles: Annotated[int, msgspec.Meta(ge=1)] = 500
    day: Annotated[int, msgspec.Meta(ge=0)] = 0
    fault: Fault = Fault.NONE


def create_mock_cas(mock: MockCas, key: str = DEMO_KEY) -> ASGIApp:
    """Return the app of a CAS whose VIP vehicles are always the same on the same day."""
    contract = Contract.load("cas")
    handlers = dict.fromkeys(contract.operations, partial(_get_vip_vehicles, mock))
    keys = KeyRing(ApiKey(caller, hash_key(key)) for caller in contract.callers())
    app = contract_app(contract, handlers, Credentials(keys), DEFAULTS)
    return partial(_inject_fault, Envelope(app, contract, DEFAULTS.max_wait), mock)


async def _get_vip_vehicles(mock: MockCas, _: Call) -> Response:
    found = await run_sync(list, vehicles(mock.vehicles, mock.day))
    match mock.fault:
        case Fault.HTTP_500:
            raise ServerError("as asked by the fault http-500")
        case Fault.EMPTY:
            found = []
        case Fault.INVALID:
            found[0] |= {"vehicle_no": None}
        case Fault.DUPLICATE:
            found.append(found[0])
    return Response(200, found)


async def _inject_fault(app: ASGIApp, mock: MockCas, scope: Scope, receive: Receive, send: Send) -> None:
    """Spoil a good response on its way out."""
    faulty, fault = False, mock.fault

    async def send_with_fault(message: Message) -> None:
        nonlocal faulty
        if message["type"] == "http.response.start":
            faulty = message["status"] == 200 and scope["method"] == "POST"  # noqa: PLR2004  # a success
        body = message.get("body", b"")
        match fault if faulty else Fault.NONE, message["type"]:
            case Fault.SLOW, "http.response.start":
                await anyio.sleep(SLOW_SECONDS)
            case Fault.TRUNCATED, "http.response.body":
                message["body"] = body[: len(body) // 2]
            case Fault.NOT_JSON, "http.response.body":
                message["body"] = b"<html>CAS is under maintenance.</html>".ljust(len(body))
            case Fault.SLOW_DRIP, "http.response.body":
                await _until_gone(receive, partial(_drip, send, body))
                return
            case Fault.HALF_CLOSED, "http.response.start":
                return  # it is written with the body
            case Fault.HALF_CLOSED, "http.response.body":
                await _until_gone(receive, partial(_close_half, send, body))
                return
        await send(message)

    await app(scope, receive, send_with_fault if scope["type"] == "http" else send)


async def _drip(send: Send, body: bytes) -> None:
    """Send a body so slowly that each part is in time and the whole is not."""
    for start in range(0, len(body), DRIP_BYTES):
        await send({"type": "http.response.body", "body": body[start : start + DRIP_BYTES], "more_body": True})
        await anyio.sleep(DRIP_SECONDS)
    await send({"type": "http.response.body", "body": b""})


async def _close_half(send: Any, body: bytes) -> None:
    """Send half of a body whose length is not told, close this side of the connection, and keep the other one open."""
    transport = send.__self__.transport  # of uvicorn, which has no other way to a response without a length
    transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    transport.write(body[: len(body) // 2])
    transport.write_eof()
    await anyio.sleep(SLOW_SECONDS)
    transport.abort()


async def _until_gone(receive: Receive, work: Any) -> None:
    """Do some work until it is done or the caller has gone."""
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        await work()
        tasks.cancel_scope.cancel()
