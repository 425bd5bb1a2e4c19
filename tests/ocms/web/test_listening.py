"""The address that the server listens on."""

import socket

import pytest
from fixtures.commands import free_port, wait_for

from ocms.keys import hash_key


def one_line(done):
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ocms: ")]
    assert "Traceback" not in done.stderr
    return line


@pytest.mark.parametrize("host", ["", "0", "0x0", "00.0", "::ffff:0.0.0.0", "::ffff:0:0", "0:0:0:0:0:FFFF:0:0"])
def test_an_address_that_means_every_interface_without_saying_so_is_refused(ocms, database, host):
    port = free_port()
    done = ocms("serve", "--host", host, "--port", port, OCMS_API_KEYS=f"CAS:{hash_key('a')}")
    assert f"ocms: --host '{host}' is not an address; 0.0.0.0 is every IPv4 interface" == one_line(done)
    assert one_line(ocms("mock-cas", "--host", host, "--port", port)).startswith("ocms: --host")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("host", ["x" * 70, "no such host", "256.1.1.1"])
def test_an_address_that_does_not_exist_is_one_line(ocms, database, host):
    done = ocms("serve", "--host", host, "--port", free_port(), OCMS_API_KEYS=f"CAS:{hash_key('a')}")
    assert host in one_line(done)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::1", "::ffff:127.0.0.1"])
def test_an_address_that_says_what_it_means_is_served(start, database, host):
    port = free_port()
    process = start("serve", "--host", host, "--port", port, OCMS_API_KEYS=f"CAS:{hash_key('a')}")
    if ":" not in host:
        wait_for(port, process)
    else:
        for line in process.stderr:
            if '"serving"' in line:
                break
        with socket.socket(socket.AF_INET6) as probe:
            assert probe.connect_ex((host, port)) == 0
