"""The mock CAS: faithful to its contract, and faulty as asked."""

import httpx2
import pytest
from fixtures.coverage import COVERAGE
from fixtures.settings import OCMS_KEY

from ocms.contract import Contract
from ocms.faults import Fault

ANSWERS = Contract.load("cas").operations["getVipVehicles"].answers
HEADERS = {"X-API-Key": OCMS_KEY}


def ask(url, **options):
    path = f"{url}/v1/getVipVehicles"
    answer = httpx2.request(options.pop("method", "POST"), path, **({"json": {}, "headers": HEADERS} | options))
    COVERAGE["cas"].observe(answer.request, answer)
    return answer


def test_the_list_is_as_the_contract_says_and_the_same_each_time(mock_cas):
    url = mock_cas(500)
    answer = ask(url)
    assert answer.status_code == 200
    assert ANSWERS["200"].faults(answer.json()) == []
    assert len(answer.json()) == 500
    assert ask(url).content == answer.content


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
    answer = ask(mock_cas(), **options)
    assert (answer.status_code, answer.json()["data"]["appCode"]) == (status, code)
    assert ANSWERS[str(status)].faults(answer.json()) == []


@pytest.mark.parametrize(
    ("fault", "shows"),
    [
        (Fault.HTTP_500, lambda answer: answer.status_code == 500),
        (Fault.EMPTY, lambda answer: answer.json() == []),
        (Fault.NOT_JSON, lambda answer: answer.text.startswith("<html>")),
        (Fault.INVALID, lambda answer: ANSWERS["200"].faults(answer.json())),
        (Fault.DUPLICATE, lambda answer: answer.json()[0] == answer.json()[-1]),
    ],
)
def test_a_fault_shows(mock_cas, fault, shows):
    assert shows(ask(mock_cas(5, fault)))


def test_a_truncated_answer_ends_early(mock_cas):
    with pytest.raises(httpx2.RemoteProtocolError):
        ask(mock_cas(5, Fault.TRUNCATED))


def test_a_slow_answer_does_not_come(mock_cas):
    with pytest.raises(httpx2.ReadTimeout):
        ask(mock_cas(5, Fault.SLOW), timeout=0.3)
