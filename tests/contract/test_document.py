"""The contracts hold what the design asks of them, and the code follows them."""

import importlib
import re

import pytest

from contract import errors
from contract.document import MEDIA_TYPE, METHODS, Contract
from contract.lint import examples, problems
from db import notices, tables
from handlers import get_payment_status, module_name, update_court_notices

CONTRACTS = {name: Contract.load(name) for name in ("ocms", "cas")}
OPERATIONS = [
    pytest.param(contract, operation, contract.document["paths"][operation.path][operation.method], id=operation_id)
    for contract in CONTRACTS.values()
    for operation_id, operation in contract.operations.items()
]


def schemas(node, trail=()):
    """Every mapping of a document with its place."""
    if isinstance(node, dict):
        yield trail, node
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from schemas(value, (*trail, key))


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_is_valid_openapi_and_its_examples_fit_their_schemas(name):
    assert list(problems(CONTRACTS[name])) == []


def test_a_wrong_example_is_found():
    contract = Contract.load("cas")
    responses = contract.document["paths"]["/v1/getVipVehicles"]["post"]["responses"]
    responses["200"]["content"][MEDIA_TYPE]["examples"]["all"]["value"][0]["status"] = 1
    assert list(problems(contract)) == ['post /v1/getVipVehicles 200 all/0/status: value is not of type "string"']


@pytest.mark.parametrize(("contract", "operation", "definition"), OPERATIONS)
def test_each_operation_is_described_secured_and_shown_by_examples(contract, operation, definition):
    assert definition["summary"]
    assert definition["description"]
    assert definition["tags"]
    assert definition["security"]
    shown = {place.split(" ")[2] for place, _, _ in examples(contract) if place.split(" ")[1] == operation.path}
    assert shown == {"requestBody", *definition["responses"]}


@pytest.mark.parametrize(("contract", "operation", "definition"), OPERATIONS)
def test_each_body_refers_to_a_component(contract, operation, definition):
    bodies = [definition["requestBody"], *definition["responses"].values()]
    for body in bodies:
        assert list(body["content"][MEDIA_TYPE]["schema"]) == ["$ref"]


@pytest.mark.parametrize(("contract", "operation", "definition"), OPERATIONS)
def test_each_response_names_its_correlation_id(contract, operation, definition):
    for response in definition["responses"].values():
        assert "X-Correlation-ID" in response["headers"]


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_a_gateway_can_import_the_contract(contract):
    document = contract.published()
    assert document["openapi"] == "3.0.3"
    assert document["servers"][0]["url"].startswith("https://")
    assert set(document["components"]) == {"schemas", "securitySchemes"}
    names = [operation_id.lower()[:76] for operation_id in contract.operations]
    assert len(names) == len(set(names))
    banned = {"externalDocs", "callbacks", "trace", "allowEmptyValue", "allowReserved", "discriminator", "links"}
    for trail, node in schemas(document):
        assert not banned & node.keys(), trail
        assert not [key for key in node if str(key).startswith("x-ocms-")], trail
        if "$ref" in node:
            assert re.fullmatch(r"#/components/schemas/\w+", node["$ref"]), trail
        if "in" in node and "schema" in node:
            assert node["in"] in ("query", "header"), trail
            if node["schema"]["type"] == "array":
                assert (node["style"], node["explode"]) == ("form", True), trail
    for path in document["paths"].values():
        for operation in path.values():
            assert len(operation["summary"]) <= 300
            parameters = [p["name"].lower() for p in operation.get("parameters", ())]
            assert len(parameters) == len(set(parameters))


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_no_schema_refers_to_itself(contract):
    known = contract.components["schemas"]

    def below(name, seen):
        assert name not in seen, f"{name} is recursive"
        for _, node in schemas(known[name]):
            if "$ref" in node:
                below(node["$ref"].rpartition("/")[2], {*seen, name})

    for name in known:
        below(name, set())


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_each_schema_is_used(contract):
    used = {node["$ref"].rpartition("/")[2] for _, node in schemas(contract.document) if "$ref" in node}
    assert used == set(contract.components["schemas"])


def test_each_operation_has_its_module():
    for operation_id in CONTRACTS["ocms"].operations:
        assert callable(importlib.import_module(f"handlers.{module_name(operation_id)}").handle)
    assert module_name("getPaymentStatus") == "get_payment_status"


def test_each_error_class_has_the_code_of_its_schema():
    coded = {
        cls.__name__: CONTRACTS["ocms"].code_and_message(cls)["appCode"]
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.OcmsError) and cls is not errors.OcmsError
    }
    assert coded == {
        "InvalidRequestError": "OCMS-4000",
        "UnauthorizedError": "OCMS-4001",
        "ForbiddenError": "OCMS-4003",
        "NoticesNotFoundError": "OCMS-4004",
        "DayendError": "OCMS-4009",
        "BatchError": "OCMS-4022",
        "ServerError": "OCMS-5000",
        "UnavailableError": "OCMS-5000",
        "BusyError": "OCMS-5000",
    }


def properties(schema):
    return set(CONTRACTS["ocms"].components["schemas"][schema]["properties"])


def test_the_queries_return_the_fields_of_the_contract():
    assert {c.name for c in notices.PAYMENT_STATUS} == properties("PaymentStatus") - {"error"}
    assert {c.name for c in notices.NOTICE_UPDATE} == properties("NoticeUpdate")


def test_the_updated_columns_are_the_fields_of_the_contract():
    columns = {c.name for c in [*notices.COURT_NOTICE, *notices.COURT_DETAIL]}
    renamed = update_court_notices.RENAMED
    assert columns == {renamed.get(name, name) for name in properties("CourtNotice") - {"notice_no"}}


def test_each_filter_of_the_contract_has_a_meaning():
    definition = CONTRACTS["ocms"].document["paths"]["/v1/getPaymentStatus"]["post"]
    (named,) = [p for p in definition["parameters"] if p["name"] == "filter"]
    assert set(named["schema"]["items"]["enum"]) == set(get_payment_status.FILTERS)


def test_texts_of_the_contract_fit_their_columns():
    court = [tables.valid_offence_notice, tables.offence_notice_detail]
    for contract, schema, owners in (("ocms", "CourtNotice", court), ("cas", "VipVehicle", [tables.vip_vehicle])):
        known = CONTRACTS[contract].components["schemas"]
        columns = {c.name: c for table in owners for c in table.columns}
        for name, definition in known[schema]["properties"].items():
            schema_of = known.get(definition.get("$ref", "").rpartition("/")[2], definition)
            column = columns[update_court_notices.RENAMED.get(name, name)]
            if schema_of["type"] == "string" and "maxLength" in schema_of:
                assert schema_of["maxLength"] <= column.type.length, name


def test_only_post_is_offered():
    for contract in CONTRACTS.values():
        for path in contract.document["paths"].values():
            assert set(path) & METHODS == {"post"}
