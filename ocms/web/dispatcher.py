"""The innermost layer of the application: parses the body, calls the handler, and encodes its response."""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from threading import Lock

import anyio
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.call import Call, Handler, Response
from contract.document import Contract
from contract.json import has_more_values
from handlers.large_calls import run_in_turn
from ocms.web.connexion_validators import find_operation_id
from ocms.web.envelope import encode_json, send_json
from ocms.web.limits import Gate
from ocms.web.pages import contract_pages
from ocms.web.request_state import RequestState, request_state

LARGE = 2**14
"""Bytes. A call with a larger body runs in a thread, so that it does not block the event loop.

A thread costs 0.2 ms; a call with a body of this size takes several milliseconds.
"""
MANY_VALUES = 400
"""JSON values. A call with more of them runs in a thread too: 5,000 empty records fit into a body of 16 KiB."""
LARGE_AT_A_TIME = 8
"""The maximum number of a caller's large calls in threads.

One of them computes at a time; the others wait for the database, or to compute.
"""


class Dispatcher:
    """Calls the operation that connexion's routing found. A path outside the contract leads to a page, or to a 404."""

    def __init__(self, contract: Contract, handlers: Mapping[str, Handler], gate: Gate) -> None:
        self._contract = contract
        self._handlers = handlers
        self._pages: ASGIApp = contract_pages(contract)
        self._gate = gate
        self._threads = defaultdict[str, anyio.CapacityLimiter](lambda: anyio.CapacityLimiter(LARGE_AT_A_TIME))
        self._turns = defaultdict[str, Lock](Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        operation_id = find_operation_id(scope) if scope["type"] == "http" else None
        if operation_id is None:
            await self._pages(scope, receive, send)
            return
        state = request_state(scope)
        state.operation_id = operation_id
        body = state.body or b""
        is_large = len(body) > LARGE or has_more_values(body, MANY_VALUES)
        work = self._work_in_thread if is_large else self._work
        response = await self._gate.serve(state, partial(work, state, operation_id))
        await send_json(send, response.status, response.body)

    async def _work(self, state: RequestState, operation_id: str) -> Response:
        rules = self._contract.operations[operation_id].body
        call = Call(
            contract=self._contract,
            caller=state.caller or "",
            query=state.query or {},
            body=rules.parse(state.body or b"") if rules else None,
            correlation_id=state.correlation_id,
        )
        state.counts = call.counts
        response = await self._handlers[operation_id](call)
        return Response(response.status, encode_json(response.body))

    async def _work_in_thread(self, state: RequestState, operation_id: str) -> Response:
        caller = state.caller or ""
        run = partial(run_in_turn, partial(self._work, state, operation_id), self._turns[caller])
        return await run_sync(run, limiter=self._threads[caller])
