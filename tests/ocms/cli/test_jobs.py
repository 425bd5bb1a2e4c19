"""`ocms jobs` and `ocms mock-cas` as operators use them: real processes, their output and exit codes."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from fixtures.commands import environment, free_port, wait_for
from fixtures.settings import OCMS_KEY
from sqlalchemy import delete

from db import tables
from db.job_runs import SUCCEEDED, finish_run, get_run, insert_run
from domain.clock import SINGAPORE, utc_now
from jobs.failures import CLOCK, DATABASE, KILLED, MISSED, STOPPED, UNEXPECTED, RefreshError
from ocms.mock_cas.app import DEMO_KEY
from ocms.mock_cas.faults import Fault

REFRESH = ("jobs", "run", "refresh-vip-vehicles")


def test_the_exit_code_of_a_refresh_by_hand_says_whether_it_succeeded(ocms, mock_cas, rows, database):
    url = mock_cas(3)
    good = ocms(*REFRESH, OCMS_CAS_URL=url, OCMS_CAS_API_KEY=OCMS_KEY)
    assert good.returncode == 0, good.stderr
    assert good.stdout == ("The VIP list was replaced; it has 3 vehicles now.\nAdded: 3, removed: 0, changed: 0.\n")
    bad = ocms(*REFRESH, OCMS_CAS_URL=url, OCMS_CAS_API_KEY="wrong-key")
    assert bad.returncode == 1
    assert bad.stderr.splitlines()[-1] == "ocms: CAS responded with HTTP status 401: check OCMS_CAS_API_KEY"
    assert "wrong-key" not in bad.stderr
    assert len(rows(tables.vip_vehicle)) == 3


def test_the_runs_are_shown_as_tables(ocms, mock_cas, database):
    ocms(*REFRESH, OCMS_CAS_URL=mock_cas(3), OCMS_CAS_API_KEY=OCMS_KEY)
    ocms(*REFRESH, OCMS_CAS_URL=mock_cas(3, Fault.EMPTY), OCMS_CAS_API_KEY=OCMS_KEY)
    history = ocms("jobs", "history")
    assert history.returncode == 0
    heading, last, first = (
        [cell.strip() for cell in re.split("[┃│]", line)[1:-1]]
        for line in history.stdout.splitlines()
        if line.startswith(("┃", "│"))
    )
    assert heading == ["run", "started", "seconds", "outcome", "rows", "reason", "detail"]
    assert first[3:] == ["succeeded", "3", "", ""]
    assert last[3:] == ["failed", "", "empty", "the list of CAS is empty"]
    show = ocms("jobs", "show", last[0])
    assert show.returncode == 0
    lines = dict(re.findall(r"^[┃│] (.+?) +[┃│] (.*?) +[┃│]$", show.stdout, re.MULTILINE))
    assert lines.keys() == {
        *("run", "job", "started", "finished", "outcome", "rows", "detail", "due", "reason", "rows before", "added"),
        *("removed", "changed", "host", "alerted", "seconds"),
    }
    assert (lines["run"], lines["reason"], lines["detail"]) == (last[0], "empty", "the list of CAS is empty")
    unknown = ocms("jobs", "show", 99)
    assert (unknown.returncode, unknown.stderr) == (1, "ocms: there is no run 99: see 'ocms jobs history'\n")


def test_a_monitor_can_ask_whether_the_list_is_fresh(ocms, database):
    never = ocms("jobs", "check")
    assert never.returncode == 1
    assert never.stderr == "ocms: refresh-vip-vehicles: it has never succeeded; see 'ocms jobs history'\n"
    for age, code in ((timedelta(hours=24, minutes=58), 0), (timedelta(hours=25), 1)):
        when = utc_now() - age
        with database.writing() as conn:
            conn.execute(delete(tables.job_run))
            finish_run(conn, insert_run(conn, "refresh-vip-vehicles", when, host="here"), when, SUCCEEDED)
        shown = ocms("jobs", "check")
        assert shown.returncode == code
        assert f"{when.astimezone(SINGAPORE):%Y-%m-%d %H:%M}" in shown.stdout + shown.stderr
    assert "no refresh has succeeded for 25 hours, since" in shown.stderr


def test_a_monitor_sees_that_a_success_in_the_future_does_not_count(ocms, database):
    now = utc_now()
    later = now + timedelta(days=400)
    with database.writing() as conn:
        run_id = insert_run(conn, "refresh-vip-vehicles", later, host="here")
        finish_run(conn, run_id, later, SUCCEEDED)
    when = f"{later.astimezone(SINGAPORE):%Y-%m-%d %H:%M}"
    remark = f"run {run_id} does not count, because its time is in the future, {when}"
    alone = ocms("jobs", "check")
    assert (alone.returncode, alone.stdout) == (1, "")
    assert alone.stderr == f"ocms: refresh-vip-vehicles: it has never succeeded; {remark}; see 'ocms jobs history'\n"
    with database.writing() as conn:
        finish_run(conn, insert_run(conn, "refresh-vip-vehicles", now, host="here"), now, SUCCEEDED)
    beside = ocms("jobs", "check")
    assert (beside.returncode, beside.stderr) == (0, "")
    last = f"{now.astimezone(SINGAPORE):%Y-%m-%d %H:%M}"
    assert beside.stdout == f"refresh-vip-vehicles: the last success was at {last}; {remark}.\n"
    assert database.read(get_run, run_id)["outcome"] == SUCCEEDED, "a check changes nothing"


def test_a_run_in_the_future_is_shown_as_excluded_once_it_was_found(ocms, mock_cas, database):
    later = utc_now() + timedelta(days=3)
    with database.writing() as conn:
        run_id = insert_run(conn, "refresh-vip-vehicles", later, host="here")
        finish_run(conn, run_id, later, SUCCEEDED)
    done = ocms(*REFRESH, OCMS_CAS_URL=mock_cas(3), OCMS_CAS_API_KEY=OCMS_KEY)
    assert done.returncode == 0
    assert '"run_in_future"' in done.stderr
    history, shown = ocms("jobs", "history"), ocms("jobs", "show", run_id)
    assert re.search(rf"│ {run_id} +│ .* │ interrupted │ +│ clock ", history.stdout)
    assert re.search(r"│ reason +│ clock ", shown.stdout)
    assert ocms("jobs", "check").returncode == 0


def test_a_refresh_goes_on_in_plain_lines_where_there_is_no_terminal(ocms, mock_cas, database):
    done = ocms(*REFRESH, OCMS_CAS_URL=mock_cas(100_500), OCMS_CAS_API_KEY=OCMS_KEY)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "loaded" in line] == ["100000 vehicles loaded"]
    assert "\x1b" not in done.stderr + done.stdout


def test_a_refresh_goes_on_in_a_bar_on_a_terminal(database_url, mock_cas, database, tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ocms", *REFRESH],
        cwd=tmp_path,
        env=environment(database_url, OCMS_CAS_URL=mock_cas(30_000), OCMS_CAS_API_KEY=OCMS_KEY, TERM="xterm"),
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait(10) == 0
    assert "━" in shown.decode()
    assert "30,000 vehicles loaded" in shown.decode()
    assert "it has 30000 vehicles now" in shown.decode()


def test_the_schedule_loop_says_what_is_planned_and_stops(start, database):
    process = start("jobs", "loop", OCMS_CAS_API_KEY="key", OCMS_ALERT_URLS="json://127.0.0.1:9/")
    line = json.loads(process.stderr.readline())
    assert (line["event"], line["job"], line["zone"]) == ("scheduled", "refresh-vip-vehicles", "Asia/Singapore")
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0


def test_a_wrong_setting_for_tls_stops_the_loop_at_its_start(ocms, database):
    refused = ocms("jobs", "loop", OCMS_CAS_URL="https://cas.test", OCMS_CAS_API_KEY="key", OCMS_CAS_CA_FILE="none.pem")
    assert refused.returncode == 1
    assert refused.stderr == "ocms: OCMS_CAS_CA_FILE: none.pem cannot be used: No such file or directory\n"


def started_mock(start, *options):
    """A mock CAS as a process; returns it, its address, and that of its control."""
    port = free_port()
    process = start("mock-cas", "--port", port, *options)
    line = json.loads(process.stderr.readline())
    assert (line["event"], line["port"]) == ("mock_cas", port)
    return process, f"http://127.0.0.1:{port}", line["control"]


def ask(url):
    return httpx2.post(f"{url}/v1/getVipVehicles", json={}, headers={"X-API-Key": DEMO_KEY})


def test_the_mock_cas_goes_down_and_comes_back_while_it_runs(start):
    process, url, control = started_mock(start, "--vehicles", 12, "--day", 3)
    wait_for(int(url.rpartition(":")[2]), process)
    assert [vehicle["vip_vehicle"] for vehicle in ask(url).json()][::11] == ["VIP-0000004", "VIP-0000015"]
    for _ in range(2):
        assert httpx2.put(control, json={"fault": "down"}).json()["fault"] == "down"
        assert json.loads(process.stderr.readline())["event"] == "call"
        assert json.loads(process.stderr.readline())["fault"] == "down"
        with pytest.raises(httpx2.ConnectError):
            ask(url)
        httpx2.put(control, json={"fault": "none"})
        assert json.loads(process.stderr.readline())["fault"] == "none"
        assert len(ask(url).json()) == 12
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0


def test_the_mock_cas_that_starts_down_refuses(start):
    process, url, control = started_mock(start, "--fault", "down")
    with pytest.raises(httpx2.ConnectError):
        ask(url)
    httpx2.put(control, json={"fault": "none"})
    assert json.loads(process.stderr.readline())["fault"] == "none"
    assert len(ask(url).json()) == 500
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0


def test_the_control_port_of_the_mock_is_a_choice(start):
    port = free_port()
    _, _, control = started_mock(start, "--control-port", port)
    assert control == f"http://127.0.0.1:{port}"
    assert httpx2.get(control).json() == {"vehicles": 500, "day": 0, "fault": "none"}


def test_the_operations_page_knows_every_reason_and_every_fault():
    page = (Path(__file__).parents[3] / "docs" / "operations" / "vip-refresh.md").read_text()
    named = {getattr(error, "reason", "http-STATUS") for error in every(RefreshError)}
    reasons = named | {DATABASE, UNEXPECTED, STOPPED, KILLED, CLOCK, MISSED}
    described = re.findall(r"^- (`.+?`): ", page, re.MULTILINE)
    assert {name for names in described for name in re.findall(r"`(.+?)`", names)} == reasons
    reason_of_fault = dict(re.findall(r"^\| (`.+`) \| `(.+)` \|$", page, re.MULTILINE))
    assert {name for names in reason_of_fault for name in re.findall(r"`(.+?)`", names)} >= {*Fault} - {Fault.NONE}
    assert {*reason_of_fault.values(), "http-STATUS"} - {"http-500", "http-206"} <= reasons


def every(kind):
    return {kind for sub in kind.__subclasses__() for kind in (sub, *every(sub))}


@pytest.mark.parametrize(
    "url", ["teams://secret/x", "slakc://secret/b/c", "xml:///", "discord://secret", "json://user:secret@%"]
)
def test_the_loop_does_not_start_with_an_alert_url_that_cannot_be_used(ocms, database, plain_cas, url):
    urls = f"json://127.0.0.1:9/ {url} json://127.0.0.1:9/"
    done = ocms("jobs", "loop", OCMS_ALERT_URLS=urls, OCMS_CAS_URL=plain_cas.url, OCMS_CAS_API_KEY=OCMS_KEY, timeout=20)
    assert done.returncode == 1
    assert done.stderr == "ocms: URL 2 of OCMS_ALERT_URLS is not that of a service that Apprise can use: correct it\n"
    assert plain_cas.calls == 0
