"""Every operation answers each outcome that does not depend on its business, in the words of the contract."""

from fixtures.contracts import each_operation, good_body

from db import tables

JSON = {"Content-Type": "application/json"}


@each_operation
def test_a_wrong_call_is_refused_with_its_status(clients_of, operation):
    right, wrong = clients_of(operation)
    assert right.post(operation.path, content=b"{", headers=JSON).status_code == 400
    assert right.post(operation.path, json=good_body(operation), headers={"X-API-Key": "none"}).status_code == 401
    assert wrong.post(operation.path, json=good_body(operation)).status_code == 403
    assert right.get(operation.path).status_code == 405
    assert right.post(operation.path, content=b" " * (operation.body.max_bytes + 1), headers=JSON).status_code == 413
    assert right.post(operation.path, content=b"<x/>", headers={"Content-Type": "text/xml"}).status_code == 415


@each_operation
def test_a_broken_database_is_a_failure_of_ours(clients_of, operation, drop_table):
    drop_table(tables.valid_offence_notice)
    drop_table(tables.dayend)
    assert clients_of(operation)[0].post(operation.path, json=good_body(operation)).status_code == 500


@each_operation
def test_an_unreachable_database_is_503_with_retry_after(clients_of, operation, database):
    elsewhere = {}
    if database.path:
        database.path.unlink()
    else:
        url = database.engine.url.set(host="127.0.0.1", port=1).difference_update_query(["port"])
        elsewhere = {"database_url": url.render_as_string(hide_password=False)}
    response = clients_of(operation, **elsewhere)[0].post(operation.path, json=good_body(operation))
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
