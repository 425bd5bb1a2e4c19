"""The log is written in a thread of its own: a reader that stops reading stops no process."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress

import httpx2
import pytest
from fixtures.commands import environment, free_port, wait_for
from fixtures.replicas import KEYS
from fixtures.settings import CAS_KEY

from ocms.log_writer import QUEUE_SIZE, LogWriter

PIPE_BYTES = 64 * 1024


@pytest.fixture
def pipe():
    """A pipe; returns the end to read, and a log that writes to the other end."""
    reader, writer = os.pipe()
    log = LogWriter(writer)
    yield reader, log
    with suppress(OSError):  # the test has closed it
        os.close(reader)
    log._patience = 10  # the thread must be done before another file gets the number of the descriptor
    log.close()
    os.close(writer)


def python(code, **options):
    """Run Python code that logs, to its end."""
    return subprocess.run(
        [sys.executable, *options.pop("options", ()), "-c", code],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        **options,
    )


LOG = """
import sys, structlog
from ocms.logs import configure_logging
configure_logging("json")
log = structlog.get_logger("test")
"""


@pytest.fixture
def serve_unread(database_url, database, tmp_path):
    """Serve in a process whose log nobody reads; returns the process and a client."""
    with ExitStack() as stack:

        def start(workers=1):
            port = free_port()
            command = [sys.executable, "-m", "ocms", "serve", "--port", str(port), "--workers", str(workers)]
            env = environment(database_url, OCMS_API_KEYS=KEYS)
            process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            url = wait_for(port, process)
            return process, stack.enter_context(httpx2.Client(base_url=url, headers={"X-API-Key": CAS_KEY}, timeout=20))

        yield start


NOTICES = {"notice_nos": [f"{number:050}" for number in range(100)]}
"""Unknown notices, whose numbers are 5 KB of the log."""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_log_that_nobody_reads_stops_no_worker_and_sigterm_still_ends_it(serve_unread, workers):
    process, client = serve_unread(workers)
    for _ in range(40):
        assert client.post("/v1/getPaymentStatus", json=NOTICES).status_code == 200
    stopped = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert time.monotonic() - stopped < 5
    assert len(process.stderr.read()) > PIPE_BYTES // 2, "the pipe was full"


def test_lost_lines_are_counted_in_the_log_of_a_server_that_is_read_again(serve_unread):
    process, client = serve_unread()
    calls = QUEUE_SIZE // 5_000 + 100
    for _ in range(calls):
        assert client.post("/v1/getPaymentStatus", json=NOTICES).status_code == 200
    counts, lines = [], 0
    while not counts:
        line = json.loads(process.stderr.readline())
        lines += 1
        counts += [line["count"]] if line["event"] == "log_lines_lost" else []
    assert line["level"] == "warning"
    assert counts[0] > 50
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read().splitlines()
    counts += [line["count"] for line in map(json.loads, rest) if line["event"] == "log_lines_lost"]
    assert lines + len(rest) - len(counts) + sum(counts) == 1 + 2 * calls, "serving, and two lines for each call"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_call_that_ends_with_the_server_is_logged(database_url, database, tmp_path, workers):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "ocms", "serve", "--port", str(port), "--workers", str(workers)],
        cwd=tmp_path,
        env=environment(database_url, OCMS_API_KEYS=KEYS),
        stderr=subprocess.PIPE,
    )
    try:
        assert httpx2.get(f"{wait_for(port, process)}/openapi.json", timeout=20).is_success
        with socket.create_connection(("127.0.0.1", port)) as caller:
            head = (
                "POST /v1/getPaymentStatus HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX-Correlation-ID: the-last\r\n"
            )
            caller.sendall(f"{head}X-API-Key: {CAS_KEY}\r\n\r\n{{".encode())
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            lines = [json.loads(line) for line in process.communicate(timeout=10)[1].splitlines()]
        assert [(line["correlation_id"], line["status"]) for line in lines if line.get("status") == 503] == [
            ("the-last", 503)
        ]
    finally:
        process.kill()
        process.communicate()


def test_the_reason_of_a_failed_command_follows_the_lines_of_the_log(ocms, database):
    failed = ocms(
        "jobs",
        "run",
        "refresh-vip-vehicles",
        OCMS_CAS_URL=f"http://127.0.0.1:{free_port()}",
        OCMS_CAS_ATTEMPTS="1",
        OCMS_CAS_API_KEY="a-key",
    )
    *lines, last = failed.stderr.splitlines()
    assert last.startswith("ocms: CAS cannot be reached")
    assert "job_failed" in [json.loads(line)["event"] for line in lines]


def test_lines_without_a_place_are_counted_and_the_count_is_written_when_the_log_is_read_again(pipe):
    reader, log = pipe
    line = "x" * 4095 + "\n"
    lines = 2 * QUEUE_SIZE // len(line)
    for _ in range(lines):
        log.write(line)
    taken, deadline = b"", time.monotonic() + 10
    while b"were lost" not in taken and time.monotonic() < deadline:
        taken += os.read(reader, PIPE_BYTES)
    log.write("the next line\n")
    while b"the next line" not in taken and time.monotonic() < deadline:
        taken += os.read(reader, PIPE_BYTES)
    lost = sum(int(text.split()[0]) for text in taken.decode().splitlines() if "were lost" in text)
    assert lost >= lines // 2 - 20
    assert taken.count(line.encode()) + lost == lines


def test_writing_never_waits_and_holds_a_bounded_amount(pipe):
    _, log = pipe
    begun = time.monotonic()
    for _ in range(100_000):
        log.write("x" * 400 + "\n")
    assert time.monotonic() - begun < 5
    assert log._size <= QUEUE_SIZE


def test_the_end_of_a_process_waits_one_second_for_the_log_at_most(pipe):
    _, log = pipe
    log.write("x" * 2 * PIPE_BYTES)
    begun = time.monotonic()
    log.close()
    log.close()
    assert 0.9 < time.monotonic() - begun < 1.5


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise OSError('unexpected')"])
@pytest.mark.parametrize("options", [(), ("-OO",)], ids=["", "-OO"])
def test_the_last_lines_of_a_process_come_out(end, options):
    done = python(LOG + "for n in range(2000): log.info('line', n=n)\n" + end, options=options)
    numbers = [int(number) for number in re.findall(r'"n":(\d+)', done.stderr)]  # a traceback may be among them
    assert numbers == list(range(2000))


def test_lines_of_several_threads_stay_whole():
    code = """
import threading
def run(number):
    for n in range(300): log.info('line', number=number, text='y' * 500)
threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    lines = [json.loads(line) for line in python(LOG + code).stderr.splitlines()]
    assert len(lines) == 2400


def test_no_write_of_several_lines_is_larger_than_a_pipe_takes_in_one_piece():
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps the boundaries of writes
    with reader, writer:
        log = LogWriter(writer.fileno())
        for number in range(200):
            log.write(f"{number} {'…' * 60}\n")
        log.close()
        writer.shutdown(socket.SHUT_WR)
        writes = list(iter(lambda: reader.recv(2**20), b""))
    assert max(map(len, writes)) <= select.PIPE_BUF
    assert b"".join(writes).count(b"\n") == 200


def test_a_line_that_a_full_disk_broke_off_damages_no_later_line(tmp_path):
    code = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
for n in range(3): log.info('line', n=n, text='y' * 600); time.sleep(0.1)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for n in range(3, 6): log.info('line', n=n); time.sleep(0.1)
"""
    with (tmp_path / "log").open("wb") as log:
        subprocess.run([sys.executable, "-c", "import time\n" + LOG + code], stderr=log, check=True)
    _, broken_off, *lines = (tmp_path / "log").read_text().splitlines()
    assert len(broken_off) < 600
    found = list(map(json.loads, lines))
    assert [line["n"] for line in found if line["event"] == "line"] == [3, 4, 5]
    assert sum(line["count"] for line in found if line["event"] == "log_lines_lost") == 2


def test_a_signal_handler_may_log_while_a_line_is_written():
    code = """
import signal
signal.signal(signal.SIGALRM, lambda *_: log.info('alarm'))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for n in range(3000): log.info('line', n=n)
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    done = python(LOG + code)
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert done.returncode == 0
    assert events.count("line") == 3000
    assert "alarm" in events


def test_a_reader_that_is_gone_stops_nothing(pipe):
    reader, log = pipe
    os.close(reader)
    for _ in range(10):
        log.write("x" * 1000 + "\n")
    log.close()
    assert log._patience > 0.5


def test_a_stream_that_another_process_made_non_blocking_loses_nothing(pipe):
    reader, log = pipe
    os.set_blocking(log._descriptor, False)
    for number in range(1000):
        log.write(f"{number:0399}\n")
    taken = b""
    while len(taken) < 400_000:
        taken += os.read(reader, PIPE_BYTES)
    assert [int(line) for line in taken.splitlines()] == list(range(1000))


def test_with_standard_error_closed_no_file_of_the_process_is_written(tmp_path):
    target = tmp_path / "file"
    code = LOG + f"file = open({str(target)!r}, 'w')\nlog.info('line')\nprint(file.fileno())"
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout == "2\n", "the file has the number of standard error"
    assert target.read_text() == ""


def test_nothing_starts_a_thread_before_the_first_line():
    code = LOG + "import threading; print(threading.active_count()); log.info('x'); print(threading.active_count())"
    assert python(code).stdout == "1\n2\n"
    assert threading.active_count() >= 1
