"""Thousands of generated requests for each operation: no failure of ours, no response without the error body, no leak.

Schemathesis holds the operations to the contract in tests/contract; here is what no contract would send.
"""

import json
import time

import pytest
from fixtures.contracts import CONTRACT, OPERATIONS, each_operation, key_of
from fixtures.effort import NIGHTLY, effort
from fixtures.sockets import Connection, request
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from contract.document import MEDIA_TYPE

REQUESTS = effort(2_000, 100_000)
FIELDS = sorted({name for schema in CONTRACT.components["schemas"].values() for name in schema.get("properties", ())})

OTHER_FIELDS = set(FIELDS)
ODD_TEXTS = ["", "N1", "N" * 51, "\x00", "\ud800", "\u202e", "é", "2026-06-30T00:00:00+08:00", "9999-12-31T23:59:59Z"]
ODD_NUMBERS = ["NaN", "-Infinity", "1e999", "-0", "0.001", "9" * 400, "1e-400", "00", "1.", "99999999.99", "100000000"]
TEXTS = st.sampled_from(ODD_TEXTS) | st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | TEXTS, children, max_size=4)
    ),
    max_leaves=12,
)
QUERIES = st.dictionaries(st.sampled_from(["skip", "limit", "filter", "x"]), st.text(max_size=8), max_size=3)
NUMBERS = st.sampled_from(["N1", "N2", "N3"]) | TEXTS


def nearly_right(schema):
    """Values that have the outer shape of a schema; what they hold may be anything."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return NUMBERS if name == "NoticeNo" else nearly_right(CONTRACT.components["schemas"][name])
    if schema["type"] == "array":
        return st.lists(nearly_right(schema["items"]) | VALUES, max_size=5)
    if schema["type"] == "object":
        required = {name: nearly_right(schema["properties"][name]) for name in schema["required"]}
        return st.fixed_dictionaries(required, optional=dict.fromkeys(OTHER_FIELDS - required.keys(), VALUES))
    return VALUES


SHAPES = {
    operation.operation_id: nearly_right(CONTRACT.definition(operation)["requestBody"]["content"][MEDIA_TYPE]["schema"])
    for operation in OPERATIONS
}
HEADERS = st.lists(
    st.sampled_from(
        [
            "Content-Type: application/json",
            "Content-Type: application/json; charset=utf-8",
            "Content-Type: text/plain",
            "Content-Type: ;;",
            "Content-Encoding: gzip",
            "Accept: text/html",
            "Expect: 100-continue",
            "Upgrade: websocket",
            "Connection: upgrade",
            "X-Correlation-ID: a b",
            "Authorization: Bearer x",
            "X-API-Key: another",
            "Range: bytes=0-1",
            "Origin: null",
            "Cookie: a=b",
        ]
    ),
    max_size=3,
)


@st.composite
def bodies(draw, operation_id):
    """A body that is nearly right, anything in JSON, or bytes; sometimes with a part exchanged for something odd."""
    value = draw(SHAPES[operation_id] | VALUES)
    body = json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        start, length = draw(st.integers(0, len(body))), draw(st.integers(0, 5))
        odd = draw(st.sampled_from(ODD_NUMBERS).map(str.encode) | st.binary(max_size=8))
        body = body[:start] + odd + body[start + length :]
    return body


@st.composite
def requests(draw, operation):
    """A request, framed properly."""
    query = "&".join(f"{name}={value.encode().hex() if draw(st.booleans()) else draw(st.integers())}"
                     for name, value in draw(QUERIES).items())  # fmt: skip
    path = operation.path + (f"?{query}" if query else "")
    key = key_of(operation) if draw(st.integers(0, 9)) else "wrong"
    method = "POST" if draw(st.integers(0, 9)) else draw(st.sampled_from(["GET", "PUT", "OPTIONS", "TRACE", "X"]))
    return request(draw(bodies(operation.operation_id)), *draw(HEADERS), path=path, method=method, key=key)


class Caller:
    """Sends one request after the other, on one connection as long as it lasts; an idle one the server closes."""

    IDLE = 2

    def __init__(self, port):
        self._address = ("127.0.0.1", port)
        self._connect()

    def _connect(self):
        self._connection, self._used = Connection(self._address), time.monotonic()

    def call(self, data):
        if time.monotonic() - self._used > self.IDLE:
            self.close()
            self._connect()
        response = self._connection.send(data).response()
        self._used = time.monotonic()
        if response is None or response.headers.get("connection") == "close":
            self.close()
            self._connect()
        return response

    def close(self):
        self._connection.socket.close()


@pytest.mark.timeout(effort(600, 14_400))
@each_operation
def test_whatever_is_sent_gets_a_proper_response(replica, seeded, operation):
    seeded(3)
    server = replica()
    caller, statuses, memory = Caller(server.port), {}, []

    @settings(
        max_examples=REQUESTS,
        deadline=None,
        database=None,
        derandomize=not NIGHTLY,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(operation))
    def send(data):
        response = caller.call(data)
        assert response is not None, "no response"
        statuses[response.status] = statuses.get(response.status, 0) + 1
        assert response.status < 500
        assert response.headers["x-correlation-id"]
        assert json.loads(response.body)
        if response.status >= 400:
            assert response.code.startswith("OCMS-")
        if sum(statuses.values()) in (REQUESTS // 4, REQUESTS - 1):
            memory.append(server.memory())

    try:
        send()
    finally:
        caller.close()
    assert statuses.keys() >= {400, 401, 405, 415}
    assert sum(statuses.values()) >= REQUESTS
    assert memory[1] < memory[0] + 30
    assert server.recovers()
    wrong = [line for line in server.lines if line["level"] in ("error", "critical") or "exception" in line]
    assert wrong == []
