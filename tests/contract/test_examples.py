"""The examples of the contract are real: a server with the sample data answers each request as shown."""

from datetime import date

import httpx2
import pytest
from fixtures.contracts import CONTRACT, OPERATIONS, good_body, request_examples
from fixtures.coverage import COVERAGE
from fixtures.settings import OCMS_KEY

from contract.document import MEDIA_TYPE, Contract
from db.dayend import set_dayend_flag
from db.sample_data import seed_notices

CASES = [
    pytest.param(operation, name, id=f"{operation.operation_id}-{name}")
    for operation in OPERATIONS
    for name in request_examples(operation)
]
INVALID_QUERY = {"notice_nos": ["A", "B", "C", "541000001 D"]}
WRONG = {
    **{
        (operation.operation_id, "invalid"): INVALID_QUERY
        for operation in OPERATIONS
        if isinstance(good_body(operation), dict) and good_body(operation).keys() == INVALID_QUERY.keys()
    },
    ("updateCourtNotices", "noArray"): {},
    ("updateCourtNotices", "wrongFields"): [
        {"notice_no": "541000001D", "amount_payable": 1.005, "suspension_type": "XS"}
    ],
}


@pytest.fixture
def assert_answered_as_shown(clients_of, database):
    """Send a request, and compare the response with an example of the contract."""
    with database.writing() as conn:
        seed_notices(conn, 10, lambda _: None)
        set_dayend_flag(conn, date(2026, 6, 30), "Y")

    def compare(operation, request, name):
        definition = CONTRACT.definition(operation)
        ((status, expected),) = [
            (int(status), response["content"][MEDIA_TYPE]["examples"][name]["value"])
            for status, response in definition["responses"].items()
            if name in response["content"][MEDIA_TYPE]["examples"]
        ]
        response = clients_of(operation)[0].post(operation.path, json=request)
        body = response.json()
        if isinstance(body["data"], dict) and "correlationId" in body["data"]:
            body["data"]["correlationId"] = expected["data"]["correlationId"]
        assert (response.status_code, body) == (status, expected)

    return compare


@pytest.mark.parametrize(("operation", "name"), CASES)
def test_a_request_of_the_contract_gets_the_response_of_the_same_name(assert_answered_as_shown, operation, name):
    assert_answered_as_shown(operation, request_examples(operation)[name], name)


@pytest.mark.parametrize(("operation_id", "name"), WRONG)
def test_a_wrong_request_gets_the_error_that_is_shown(assert_answered_as_shown, operation_id, name):
    assert_answered_as_shown(CONTRACT.operations[operation_id], WRONG[operation_id, name], name)


@pytest.mark.parametrize(("request_body", "status"), [({}, "200"), ({"page": 2}, "400")])
def test_the_examples_of_cas_are_the_answers_of_the_mock_cas(mock_cas, request_body, status):
    definition = Contract.load("cas").document["paths"]["/v1/getVipVehicles"]["post"]
    ((name, expected),) = definition["responses"][status]["content"][MEDIA_TYPE]["examples"].items()
    response = httpx2.post(f"{mock_cas(2)}/v1/getVipVehicles", json=request_body, headers={"X-API-Key": OCMS_KEY})
    COVERAGE["cas"].observe(response.request, response)
    assert str(response.status_code) == status
    assert f"response example getVipVehicles {status} {name}" in COVERAGE["cas"].seen, (response.json(), expected)
