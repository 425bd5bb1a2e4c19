"""Who may call what: as the contract says."""

from datetime import date

import pytest
from fixtures.settings import CAS_KEY, PLUS_KEY

from contract.document import Contract
from domain.errors import OperatorError
from ocms.app import create_app
from ocms.keys import ApiKey, KeyRing, create_key, hash_key
from ocms.settings import load_settings

CONTRACT = Contract.load("ocms")
EXPIRED = "OCMS_API_KEYS names only keys that have expired: make a key with 'ocms keys create CALLER' and set its hash"
KEYS = {"CAS": CAS_KEY, "PLUS": PLUS_KEY}


def owners(operation):
    """The callers whose keys an operation accepts, read from the document itself."""
    definition = CONTRACT.document["paths"][operation.path][operation.method]
    schemes = CONTRACT.document["components"]["securitySchemes"]
    return {schemes[name]["x-ocms-caller"] for requirement in definition["security"] for name in requirement}


OPERATIONS = list(CONTRACT.operations.values())


def code_of(response):
    return response.status_code, response.json()["data"]["appCode"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.operation_id)
def test_each_operation_takes_the_keys_of_its_callers_only(cas, operation):
    for caller, key in KEYS.items():
        response = cas.post(operation.path, content=b"{", headers={"X-API-Key": key})
        assert code_of(response) == ((400, "OCMS-4000") if caller in owners(operation) else (403, "OCMS-4003"))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.operation_id)
@pytest.mark.parametrize(
    "key", ["wrong", "", CAS_KEY.upper(), CAS_KEY + " x", CAS_KEY[:-1], "é".encode(), "x" * 30_000]
)
def test_a_wrong_key_is_refused_before_the_body_is_looked_at(cas, operation, key):
    response = cas.post(operation.path, content=b"{", headers={"X-API-Key": key})
    assert code_of(response) == (401, "OCMS-4001")
    assert response.headers["WWW-Authenticate"] == "ApiKey"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.operation_id)
def test_a_key_in_another_place_is_no_key(cas, operation):
    del cas.headers["X-API-Key"]
    for response in (
        cas.post(operation.path, content=b"{"),
        cas.post(operation.path, content=b"{", params={"X-API-Key": CAS_KEY}),
        cas.post(operation.path, content=b"{", headers={"Cookie": f"X-API-Key={CAS_KEY}"}),
        cas.post(operation.path, content=b"{", headers={"Authorization": f"Bearer {CAS_KEY}"}),
        cas.post(operation.path, content=b"{", headers=[("X-API-Key", CAS_KEY), ("X-API-Key", "wrong")]),
    ):
        assert code_of(response) == (401, "OCMS-4001")


def test_a_new_key_works_by_its_hash():
    key = create_key()
    assert len(key) >= 43
    assert key != create_key()
    ring = KeyRing([ApiKey("PLUS", hash_key("other")), ApiKey("CAS", hash_key(key))])
    assert ring.caller_of(key) == "CAS"
    assert ring.caller_of(hash_key(key)) is None


def test_a_caller_can_have_several_keys():
    settings = load_settings(api_keys=f"CAS:{hash_key('old')}, CAS:{hash_key('new')}")
    ring = KeyRing(settings.api_keys)
    assert [ring.caller_of(key) for key in ("old", "new", "older")] == ["CAS", "CAS", None]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (
            f"CAS:{'0' * 64}:2026-06-29",
            EXPIRED,
        ),
        ("", "OCMS_API_KEYS has no key: make a key with 'ocms keys create CALLER' and set its hash"),
        (f"LTA:{'0' * 64}", "OCMS_API_KEYS names LTA; the contract has only CAS, PLUS"),
    ],
)
def test_without_usable_keys_there_is_no_app(make_settings, clock, keys, text):
    settings = make_settings().model_copy(update={"api_keys": load_settings(api_keys=keys).api_keys})
    with pytest.raises(OperatorError) as raised:
        create_app(settings, clock)
    assert str(raised.value) == text


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.operation_id)
def test_a_key_works_to_the_end_of_its_last_day_in_singapore(callers, clock, operation):
    old = {caller: f"the-old-key-of-{caller}" for caller in owners(operation)}
    keys = [ApiKey(caller, hash_key(key), date(2026, 6, 30)) for caller, key in old.items()]
    new = [ApiKey(caller, hash_key(KEYS[caller])) for caller in old]
    client, _ = callers(api_keys=",".join(map(str, [*keys, *new])))
    for key in old.values():
        headers = {"X-API-Key": key}
        assert code_of(client.post(operation.path, content=b"{", headers=headers)) == (400, "OCMS-4000")
        clock.move(hours=1.5)  # it is midnight
        assert code_of(client.post(operation.path, content=b"{", headers=headers)) == (401, "OCMS-4001")
    for caller in old:  # rotation: the new one works beside the old one and after it
        headers = {"X-API-Key": KEYS[caller]}
        assert code_of(client.post(operation.path, content=b"{", headers=headers)) == (400, "OCMS-4000")


def test_a_key_that_expires_soon_is_logged_at_the_start(make_settings, clock, logs):
    keys = f"CAS:{hash_key('a')}:2026-07-15,CAS:{hash_key('b')}:2026-09-01,PLUS:{hash_key('c')}"
    create_app(make_settings(api_keys=keys), clock)
    assert [(line["caller"], line["hash"], line["last_day"]) for line in logs("key_expires")] == [
        ("CAS", hash_key("a")[:8], "2026-07-15")
    ]
    assert hash_key("a") not in logs.text()


@pytest.mark.parametrize("keys", ["CAS", f"CAS:{'0' * 64}:tomorrow", f"CAS:{'0' * 64}:2026-02-30", f"CAS:{'0' * 63}"])
def test_an_invalid_list_of_keys_is_reported_in_one_line(keys):
    with pytest.raises(OperatorError, match=r"^OCMS_API_KEYS ") as raised:
        load_settings(api_keys=keys)
    assert "\n" not in str(raised.value)
