"""The application of the mock CAS."""

from functools import partial
from typing import Annotated, Any

import anyio
import msgspec
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.call import Call, Response
from contract.document import Contract
from contract.errors import ServerError
from ocms.keys import DEMO_KEYS, ApiKey, KeyRing, hash_key
from ocms.mock_cas.faults import Fault
from ocms.mock_cas.vehicles import DEFAULT_COUNT, vehicles
from ocms.settings import DEFAULTS
from ocms.web.contract_app import contract_app
from ocms.web.envelope import Envelope, ErrorBody
from ocms.web.security import Credentials

DEMO_KEY = DEMO_KEYS["OCMS"]
"""The default key of OCMS at the mock."""
SLOW_SECONDS = 60.0
"""The delay of the fault `slow`, longer than the time-out of the client."""
DRIP_BYTES = 16
"""The size of a part in the fault `slow-drip`."""
DRIP_SECONDS = 1.0
"""The delay between two parts, shorter than the time-out of the client."""


class MockCas(msgspec.Struct, forbid_unknown_fields=True):
    """The behaviour of the mock. It can change while the mock runs."""

    vehicles: Annotated[int, msgspec.Meta(ge=1)] = DEFAULT_COUNT
    day: Annotated[int, msgspec.Meta(ge=0)] = 0
    fault: Fault = Fault.NONE


def create_mock_cas(mock: MockCas, key: str = DEMO_KEY) -> ASGIApp:
    """Return the application of a mock CAS. Its list depends only on the number of vehicles and the day."""
    contract = Contract.load("cas")
    handlers = dict.fromkeys(contract.operations, partial(_get_vip_vehicles, mock))
    keys = KeyRing(ApiKey(caller, hash_key(key)) for caller in contract.callers())
    app = contract_app(contract, handlers, Credentials(keys), DEFAULTS)
    return partial(_inject_fault, Envelope(ErrorBody(app, contract, DEFAULTS.max_wait), contract), mock)


async def _get_vip_vehicles(mock: MockCas, _: Call) -> Response:
    found = await run_sync(list, vehicles(mock.vehicles, mock.day))
    match mock.fault:
        case Fault.HTTP_500:
            raise ServerError("the fault http-500")
        case Fault.EMPTY:
            found = []
        case Fault.PARTIAL:
            found = found[: len(found) // 2 + 1]
        case Fault.INVALID:
            found[0] |= {"vehicle_no": None}
        case Fault.DUPLICATE:
            found.append(found[0])
    return Response(200, found)


async def _inject_fault(app: ASGIApp, mock: MockCas, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request, and inject the fault into a good response."""
    faulty, fault = False, mock.fault

    async def send_with_fault(message: Message) -> None:
        nonlocal faulty
        if message["type"] == "http.response.start":
            faulty = message["status"] == 200 and scope["method"] == "POST"  # noqa: PLR2004  # OK
        body = message.get("body", b"")
        match fault if faulty else Fault.NONE, message["type"]:
            case Fault.SLOW, "http.response.start":
                await anyio.sleep(SLOW_SECONDS)
            case Fault.PARTIAL, "http.response.start":
                message["status"] = 206
            case Fault.TRUNCATED, "http.response.body":
                message["body"] = body[: len(body) // 2]
            case Fault.NOT_JSON, "http.response.body":
                message["body"] = b"<html>CAS is under maintenance.</html>".ljust(len(body))
            case Fault.SLOW_DRIP, "http.response.body":
                await _until_gone(receive, partial(_drip, send, body))
                return
            case Fault.HALF_CLOSED, "http.response.start":
                return  # _close_half writes the head itself
            case Fault.HALF_CLOSED, "http.response.body":
                await _until_gone(receive, partial(_close_half, send, body))
                return
        await send(message)

    await app(scope, receive, send_with_fault if scope["type"] == "http" else send)


async def _drip(send: Send, body: bytes) -> None:
    """Send a body so slowly that each part arrives in time and the whole does not."""
    for start in range(0, len(body), DRIP_BYTES):
        await send({"type": "http.response.body", "body": body[start : start + DRIP_BYTES], "more_body": True})
        await anyio.sleep(DRIP_SECONDS)
    await send({"type": "http.response.body", "body": b""})


async def _close_half(send: Any, body: bytes) -> None:
    """Send half of a body without a length, and shut down the sending side of the connection only."""
    transport = send.__self__.transport  # uvicorn's own; ASGI has no response without a length
    transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    transport.write(body[: len(body) // 2])
    transport.write_eof()
    await anyio.sleep(SLOW_SECONDS)
    transport.abort()


async def _until_gone(receive: Receive, work: Any) -> None:
    """Await `work`, and cancel it if the caller disconnects."""
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        await work()
        tasks.cancel_scope.cancel()
