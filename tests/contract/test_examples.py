"""The examples of the contract are real: a server with the sample data answers each request as shown."""

from datetime import date

import httpx2
import pytest

from db.dayend import set_dayend_flag
from db.sample_data import seed_notices
from ocms.contract import MEDIA_TYPE, Contract

CONTRACT = Contract.load("ocms")
CASES = [
    pytest.param(operation, name, id=f"{operation.operation_id}-{name}")
    for operation in CONTRACT.operations.values()
    for name in CONTRACT.document["paths"][operation.path]["post"]["requestBody"]["content"][MEDIA_TYPE]["examples"]
]


@pytest.mark.parametrize(("operation", "name"), CASES)
def test_a_request_of_the_contract_gets_the_answer_of_the_same_name(callers, database, operation, name):
    with database.writing() as conn:
        seed_notices(conn, 10, lambda _: None)
        set_dayend_flag(conn, date(2026, 6, 30), "Y")
    definition = CONTRACT.document["paths"][operation.path]["post"]
    request = definition["requestBody"]["content"][MEDIA_TYPE]["examples"][name]["value"]
    ((status, expected),) = [
        (int(status), answer["content"][MEDIA_TYPE]["examples"][name]["value"])
        for status, answer in definition["responses"].items()
        if name in answer["content"][MEDIA_TYPE]["examples"]
    ]
    cas, plus = callers()
    answer = (plus if definition["tags"] == ["PLUS"] else cas).post(operation.path, json=request)
    body = answer.json()
    if isinstance(body["data"], dict) and "correlationId" in body["data"]:
        body["data"]["correlationId"] = expected["data"]["correlationId"]
    assert (answer.status_code, body) == (status, expected)


def test_the_example_of_cas_is_the_answer_of_the_mock_cas(mock_cas):
    definition = Contract.load("cas").document["paths"]["/v1/getVipVehicles"]["post"]
    (request,) = definition["requestBody"]["content"][MEDIA_TYPE]["examples"].values()
    (expected,) = definition["responses"]["200"]["content"][MEDIA_TYPE]["examples"].values()
    answer = httpx2.post(
        f"{mock_cas(2)}/v1/getVipVehicles", json=request["value"], headers={"X-API-Key": "a-key-of-ocms"}
    )
    assert answer.json() == expected["value"]
