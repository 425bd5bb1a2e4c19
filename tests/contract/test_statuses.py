"""Every operation answers each outcome that does not depend on its business, in the words of the contract."""

import pytest

from contract.document import Contract
from db import tables

OPERATIONS = list(Contract.load("ocms").operations.values())
JSON = {"Content-Type": "application/json"}

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.operation_id)


@pytest.fixture
def clients(callers):
    """The client that may call an operation, and the one that may not."""

    def find(operation, **settings):
        cas, plus = callers(**settings)
        return (plus, cas) if operation.operation_id == "getNoticeUpdate" else (cas, plus)

    return find


def good_body(operation):
    definition = Contract.load("ocms").document["paths"][operation.path]["post"]
    return next(iter(definition["requestBody"]["content"]["application/json"]["examples"].values()))["value"]


@each_operation
def test_a_wrong_call_is_refused_with_its_status(clients, operation):
    right, wrong = clients(operation)
    assert right.post(operation.path, content=b"{", headers=JSON).status_code == 400
    assert right.post(operation.path, json=good_body(operation), headers={"X-API-Key": "none"}).status_code == 401
    assert wrong.post(operation.path, json=good_body(operation)).status_code == 403
    assert right.get(operation.path).status_code == 405
    assert right.post(operation.path, content=b" " * (operation.body.max_bytes + 1), headers=JSON).status_code == 413
    assert right.post(operation.path, content=b"<x/>", headers={"Content-Type": "text/xml"}).status_code == 415


@each_operation
def test_a_broken_database_is_a_failure_of_ours(clients, operation, drop_table):
    drop_table(tables.valid_offence_notice)
    drop_table(tables.dayend)
    assert clients(operation)[0].post(operation.path, json=good_body(operation)).status_code == 500


@each_operation
def test_a_database_that_is_away_is_told_with_the_time_to_wait(clients, operation, database):
    elsewhere = {}
    if database.path:
        database.path.unlink()
    else:
        url = database.engine.url.set(host="127.0.0.1", port=1).difference_update_query(["port"])
        elsewhere = {"database_url": url.render_as_string(hide_password=False)}
    response = clients(operation, **elsewhere)[0].post(operation.path, json=good_body(operation))
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
