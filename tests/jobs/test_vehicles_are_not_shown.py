"""The VIP list is sensitive: the log, alerts and the list of runs name no vehicle. The record of a run may."""

import json

import pytest
from fixtures.settings import OCMS_KEY
from fixtures.vip_lists import last_run
from starlette.responses import Response

from domain.errors import OperatorError
from jobs.failures import reason_of
from ocms.mock_cas.faults import Fault

NAMES = ("VIP-0000001", "VIP-0000002", "SGX1234A")


def vehicle(**members):
    return {"vip_vehicle": "SGX1234A", "vehicle_no": "SGX1234A", "status": "ACTIVE"} | members


def body_of(text):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await Response(text, media_type="application/json")(scope, receive, send)

    return app


BODIES = {
    "a vehicle twice": ("duplicate", json.dumps([vehicle(), vehicle()])),
    "an unknown member in a later record": (
        "invalid",
        json.dumps([vehicle(status=None), vehicle(vip_vehicle="x", SGX1234A=1)]),
    ),
    "a value of another type": ("invalid", json.dumps([vehicle(vehicle_no={"SGX1234A": 1})])),
    "a value that is too long": ("invalid", json.dumps([vehicle(vip_vehicle="SGX1234A" * 100)])),
    "an object instead of a list": ("invalid", json.dumps({"SGX1234A": vehicle()})),
    "a repeated member": ("not-json", '[{"SGX1234A": 1, "SGX1234A": 2}]'),
    "no JSON": ("not-json", "SGX1234A"),
    "no JSON inside": ("not-json", '[{"vip_vehicle": "SGX1234A", SGX1234A}]'),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_refused_list_names_no_vehicle(refresh, serve, webhook, database, logs, case):
    reason, body = BODIES[case]
    with pytest.raises(OperatorError) as raised:
        refresh(serve(body_of(body)))
    assert reason_of(raised.value) == reason
    assert [line["reason"] for line in logs("job_failed")] == [reason]
    (alert,) = webhook.alerts
    for shown in (str(raised.value), repr(raised.value), alert["message"], logs.text()):
        assert not any(name in shown for name in NAMES)
    assert alert["message"].startswith(str(raised.value))


@pytest.mark.parametrize("case", ["a vehicle twice", "a repeated member"])
def test_the_record_of_the_run_has_what_the_log_leaves_out(refresh, serve, database, case):
    with pytest.raises(OperatorError) as raised:
        refresh(serve(body_of(BODIES[case][1])))
    first, _, rest = last_run(database)["detail"].partition("\n")
    assert first == str(raised.value)
    assert "SGX1234A" in rest


def test_the_operator_finds_the_vehicles_in_the_record_only(ocms, mock_cas, database):
    settings = {"OCMS_CAS_URL": mock_cas(4, Fault.DUPLICATE), "OCMS_CAS_API_KEY": OCMS_KEY}
    failed = ocms("jobs", "run", "refresh-vip-vehicles", **settings)
    assert failed.stderr.splitlines()[-1] == "ocms: the list of CAS has 1 vehicles more than once"
    assert "VIP-0000001" not in failed.stderr + ocms("jobs", "history").stdout
    assert "VIP-0000001" in ocms("jobs", "show", 1).stdout
