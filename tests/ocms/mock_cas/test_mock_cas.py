"""The mock CAS: faithful to its contract, and faulty as asked."""

import itertools
import math

import httpx2
import pytest
from fixtures.coverage import COVERAGE
from fixtures.settings import OCMS_KEY

from contract.document import Contract
from contract.json import parse_json
from ocms.mock_cas.app import MockCas, create_mock_cas
from ocms.mock_cas.faults import Fault
from ocms.mock_cas.server import create_control

ANSWERS = Contract.load("cas").operations["getVipVehicles"].responses
HEADERS = {"X-API-Key": OCMS_KEY}


@pytest.fixture
def control(serve):
    """A mock CAS with its control; returns the address of CAS and what changes the mock and shows how it is."""
    mock = MockCas(5)
    url, control_url = serve(create_mock_cas(mock, OCMS_KEY)), serve(create_control(mock))
    return url, lambda **changes: httpx2.put(control_url, json=changes)


def ask(url, **options):
    path = f"{url}/v1/getVipVehicles"
    response = httpx2.request(options.pop("method", "POST"), path, **({"json": {}, "headers": HEADERS} | options))
    COVERAGE["cas"].observe(response.request, response)
    return response


def test_the_list_is_as_the_contract_says_and_the_same_each_time(mock_cas):
    url = mock_cas(500)
    response = ask(url)
    assert response.status_code == 200
    assert ANSWERS["200"].faults(response.json()) == []
    assert len(response.json()) == 500
    assert ask(url).content == response.content


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"headers": {}}, 401, "CAS-4001"),
        ({"headers": {"X-API-Key": "wrong"}}, 401, "CAS-4001"),
        ({"json": {"page": 1}}, 400, "CAS-4000"),
        ({"json": []}, 400, "CAS-4000"),
        ({"method": "PUT"}, 405, "CAS-4000"),
        ({"json": {"page": "x" * 2000}}, 413, "CAS-4000"),
        ({"headers": HEADERS | {"Content-Type": "text/plain"}}, 415, "CAS-4000"),
    ],
)
def test_a_wrong_call_is_answered_in_the_words_of_cas(mock_cas, options, status, code):
    response = ask(mock_cas(), **options)
    assert (response.status_code, response.json()["data"]["appCode"]) == (status, code)
    assert ANSWERS[str(status)].faults(response.json()) == []


@pytest.mark.parametrize(
    ("fault", "shows"),
    [
        (Fault.HTTP_500, lambda response: response.status_code == 500),
        (Fault.PARTIAL, lambda response: response.status_code == 206 and len(response.json()) == 3),
        (Fault.EMPTY, lambda response: response.json() == []),
        (Fault.NOT_JSON, lambda response: response.text.startswith("<html>")),
        (Fault.INVALID, lambda response: ANSWERS["200"].faults(response.json())),
        (Fault.DUPLICATE, lambda response: response.json()[0] == response.json()[-1]),
    ],
)
def test_a_fault_shows(mock_cas, fault, shows):
    assert shows(ask(mock_cas(5, fault)))


def test_a_truncated_response_ends_early(mock_cas):
    with pytest.raises(httpx2.RemoteProtocolError):
        ask(mock_cas(5, Fault.TRUNCATED))


def test_a_slow_response_does_not_come(mock_cas):
    with pytest.raises(httpx2.ReadTimeout):
        ask(mock_cas(5, Fault.SLOW), timeout=0.3)


def test_a_slow_drip_is_always_in_time_and_never_at_its_end(mock_cas):
    url = mock_cas(500, Fault.SLOW_DRIP)
    pieces = 0
    with httpx2.stream("POST", f"{url}/v1/getVipVehicles", json={}, headers=HEADERS, timeout=2) as response:
        for piece in response.iter_raw():
            pieces += 1
            assert len(piece) <= 16
            if pieces == 3:
                break


def test_a_half_closed_response_has_no_length_and_ends_in_the_middle(mock_cas):
    response = httpx2.post(f"{mock_cas(500, Fault.HALF_CLOSED)}/v1/getVipVehicles", json={}, headers=HEADERS)
    assert response.status_code == 200
    assert "content-length" not in response.headers
    assert "transfer-encoding" not in response.headers
    with pytest.raises(ValueError, match="truncated"):
        parse_json(response.content)


@pytest.mark.parametrize("count", [1, 3, 500, 2_000])
def test_each_day_drops_adds_and_changes_some(mock_cas, control, count):
    url, change = control
    days = []
    for day in (0, 1, 2, 1):
        assert change(vehicles=count, day=day).status_code == 200
        days.append({vehicle["vip_vehicle"]: vehicle for vehicle in ask(url).json()})
    assert days[1] == days[3]
    for before, after in itertools.pairwise(days):
        assert len(before) == len(after) == count
        assert len(after.keys() - before.keys()) == len(before.keys() - after.keys()) == math.ceil(count / 100)
        changed = [name for name in after.keys() & before.keys() if after[name] != before[name]]
        assert bool(changed) == (count > 1)
        assert len(changed) <= math.ceil(count / 50)


def test_the_mock_changes_while_it_runs(control):
    url, change = control
    assert len(ask(url).json()) == 5
    assert change(fault="empty").json() == {"vehicles": 5, "day": 0, "fault": "empty"}
    assert ask(url).json() == []
    assert change(fault="http-500", vehicles=7).status_code == 200
    assert ask(url).status_code == 500
    change(fault="none")
    assert len(ask(url).json()) == 7


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"down", "JSON is malformed"),
        (b"[]", "Expected `object`"),
        (b'{"fault": "fire"}', "Invalid enum value 'fire'"),
        (b'{"vehicles": 0}', "Expected `int` >= 1"),
        (b'{"vehicle": 1}', "unknown field `vehicle`"),
        (b'{"fault": "\xff"}', "utf-8"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_and_changes_nothing(serve, body, text):
    mock = MockCas(5)
    url = serve(create_control(mock))
    response = httpx2.put(url, content=body)
    assert response.status_code == 400
    assert text in response.text
    assert httpx2.get(url).json() == {"vehicles": 5, "day": 0, "fault": "none"}
