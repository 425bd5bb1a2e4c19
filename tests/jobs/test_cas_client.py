"""The client of CAS."""

import anyio
import pytest
from starlette.responses import JSONResponse

from jobs.cas_client import CasClient
from jobs.failures import CasStatusError, DeadlineError, InvalidListError, RefreshError, TooLargeError
from ocms.contract import Contract

CONTRACT = Contract.load("cas")
VEHICLE = {"vip_vehicle": "V1", "vehicle_no": "SBA1A", "status": "ACTIVE"}


class FakeCas:
    """A CAS that answers with a list of (status, body), one each call, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return
        body = (await receive())["body"]
        self.requests.append((scope["method"], scope["path"], dict(scope["headers"]), body))
        status, answer = self.answers.pop(0)
        await JSONResponse(answer, status)(scope, receive, send)


@pytest.fixture
def fetch(serve, make_settings):
    def run(app, **settings):
        client = CasClient(CONTRACT, make_settings(cas_url=serve(app), **settings))
        return client.fetch_vip_vehicles(lambda parts: [vehicle for part in parts for vehicle in part])

    return run


def test_the_call_is_the_one_of_the_contract(fetch):
    app = FakeCas((200, [VEHICLE]))
    assert fetch(app) == [VEHICLE]
    method, path, headers, body = app.requests[0]
    assert (method, path, body) == ("POST", "/v1/getVipVehicles", b"{}")
    assert headers[b"x-api-key"] == b"a-key-of-ocms"
    assert headers[b"content-type"] == b"application/json"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_is_tried_again(fetch, status):
    app = FakeCas((status, {}), (status, {}), (200, [VEHICLE]))
    assert fetch(app, cas_attempts=3) == [VEHICLE]
    assert len(app.requests) == 3


def test_the_number_of_attempts_is_a_setting(fetch):
    app = FakeCas(*[(500, {})] * 4)
    with pytest.raises(CasStatusError):
        fetch(app, cas_attempts=3)
    assert len(app.requests) == 3


@pytest.mark.parametrize("status", [204, 301, 400, 401, 403, 404, 429])
def test_any_other_answer_is_not_tried_again(fetch, status):
    app = FakeCas((status, None))
    with pytest.raises(RefreshError):
        fetch(app)
    assert len(app.requests) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({}, "is no array"),
        ({"data": [VEHICLE]}, "is no array"),
        (None, "is no array"),
        ([VEHICLE, {}], "/1/vip_vehicle"),
        ([VEHICLE | {"vip_vehicle": ""}], "/0/vip_vehicle"),
        ([VEHICLE | {"vehicle_no": "x" * 51}], "/0/vehicle_no"),
        ([VEHICLE | {"status": None}], "/0/status"),
        ([VEHICLE | {"description": "x" * 256}], "/0/description"),
        ([VEHICLE | {"description": "a\x00b"}], "/0/description"),
    ],
)
def test_a_list_that_is_not_as_the_contract_says_is_refused(fetch, answer, reason):
    with pytest.raises(RefreshError, match=reason):
        fetch(FakeCas((200, answer)))


def test_it_is_told_how_many_records_are_wrong_and_what_of_the_first_three(fetch):
    wrong = [VEHICLE | {"vip_vehicle": f"V{i}", "status": None} for i in range(30)]
    with pytest.raises(InvalidListError) as raised:
        fetch(FakeCas((200, [VEHICLE, *wrong])))
    text = 'value is not of type "string"'
    assert str(raised.value) == (
        "30 of 31 records in the list of CAS are not as openapi/cas.yaml says: "
        f"/1/status {text}; /2/status {text}; /3/status {text}"
    )


async def trickle(scope, receive, send):
    """Send a little, always in time, and never come to an end."""
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    for _ in range(300):
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await anyio.sleep(0.02)


def test_an_answer_that_never_ends_is_given_up_at_the_deadline(fetch):
    with pytest.raises(DeadlineError, match=r"CAS took longer than 0\.3 seconds in all \(OCMS_CAS_DEADLINE\)"):
        fetch(trickle, cas_deadline=0.3, cas_timeout=5)


def test_an_answer_that_is_too_large_is_given_up(fetch):
    with pytest.raises(TooLargeError, match=r"larger than 40 bytes \(OCMS_CAS_MAX_BYTES\)"):
        fetch(FakeCas((200, [VEHICLE])), cas_max_bytes=40)
    assert fetch(FakeCas((200, [VEHICLE])), cas_max_bytes=100) == [VEHICLE]


def test_fields_that_are_not_known_yet_are_no_fault(fetch):
    vehicle = VEHICLE | {"description": None, "colour": "black"}
    assert fetch(FakeCas((200, [vehicle]))) == [vehicle]


def test_the_key_is_not_logged(fetch, logs):
    with pytest.raises(RefreshError):
        fetch(FakeCas((500, {}), (500, {})))
    assert logs()
    assert "a-key-of-ocms" not in logs.text()
