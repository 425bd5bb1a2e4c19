"""The command line. Each command imports its modules when it runs, so that `--help` starts quickly."""

import os
import sys
from typing import Annotated

import typer

from db.errors import DatabaseError
from domain.errors import OperatorError
from ocms.cli import alerts, dayend, db, jobs, keys, spec
from ocms.cli.streams import set_up_streams
from ocms.log_writer import standard_error
from ocms.mock_cas.faults import Fault
from ocms.mock_cas.vehicles import DEFAULT_COUNT

app = typer.Typer(
    name="ocms",
    help="The integration service between OCMS, the Court Admin System (CAS) and PLUS.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(jobs.app, name="jobs")
app.add_typer(db.app, name="db")
app.add_typer(dayend.app, name="dayend")
app.add_typer(spec.app, name="spec")
app.add_typer(keys.app, name="keys")
app.add_typer(alerts.app, name="alerts")

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="The port of the API; OCMS_PORT by default.")]
CasPort = Annotated[
    int | None, typer.Option(min=1, max=65535, help="The port of the mock CAS; OCMS_CAS_PORT by default.")
]
Host = Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for every IPv4 interface.")]


@app.command()
def demo(port: Port = None, cas_port: CasPort = None) -> None:
    """Run the API, a mock CAS and the schedule loop on this machine, with sample data."""
    from ocms.demo import run_demo

    run_demo(port, cas_port, main)


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = None,
    workers: Annotated[int, typer.Option(min=1, help="The number of processes that serve requests.")] = 1,
) -> None:
    """Serve the API until SIGINT or SIGTERM. SIGHUP reloads keys and certificates."""
    from ocms.app import create_service
    from ocms.database import prepare_database
    from ocms.keys import require_secret
    from ocms.settings import load_settings
    from ocms.web.server import hold_reload, require_free, serve

    hold_reload()
    settings = load_settings()
    require_secret(settings.api_keys)
    service = create_service(settings)  # even for several workers, so that an error is reported before they start
    require_free(host, port or settings.port)  # a server that cannot start leaves the demo its database
    prepare_database(settings)
    serve(service, create_service, host, port or settings.port, workers)


@app.command()
def mock_cas(  # noqa: PLR0913, PLR0917  # its options
    port: CasPort = None,
    host: Host = "127.0.0.1",
    vehicles: Annotated[int, typer.Option(min=1, help="The number of VIP vehicles in the list.")] = DEFAULT_COUNT,
    day: Annotated[
        int, typer.Option(min=0, help="The day of the list. Each day removes, adds and changes some vehicles.")
    ] = 0,
    fault: Annotated[Fault, typer.Option(help="The fault to show instead of a good response.")] = Fault.NONE,
    control_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="The control port, which changes the mock while it runs; 10000 above the port, or a free one.",
        ),
    ] = None,
) -> None:
    """Serve a mock CAS. It accepts the key in OCMS_CAS_API_KEY, or demo-ocms-key if that is not set.

    Change it while it runs with: curl -X PUT 127.0.0.1:18090 -d '{"fault": "down", "vehicles": 1000, "day": 1}'
    """
    from ocms.cli.context import configured
    from ocms.mock_cas.app import DEMO_KEY, MockCas
    from ocms.mock_cas.server import serve_mock_cas

    settings = configured()
    key = settings.cas_api_key.get_secret_value() or DEMO_KEY
    serve_mock_cas(MockCas(vehicles, day, fault), key, host, port or settings.cas_port, control_port)


def main() -> None:
    """Run the command line. Exit with 0 for success, 1 for a failure, 2 for an invalid command, 130 if stopped."""
    set_up_streams()
    os.environ.pop("SSLKEYLOGFILE", None)  # libraries would write session keys of alerts and proxies to this file
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="ocms", standalone_mode=False)
    except typer.Exit as done:
        code = done.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except typer.TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "ocms")
        text = error.format_message().replace("Value error, ", "").rstrip(".")
        code = _fail(f"{text}; see '{command} --help'", error.exit_code)
    except DatabaseError as error:
        code = _fail(f"the database cannot be used: {error}; check OCMS_DATABASE_URL", 1)
    except OperatorError as error:
        code = _fail(str(error), 1)
    finally:
        standard_error().close()  # before Python writes a traceback
    sys.exit(code or 0)


def _fail(text: str, code: int) -> int:
    # Through the queue of the log: after its lines, and without blocking if nobody reads standard error.
    standard_error().write("ocms: " + " ".join(text.split()) + "\n")
    return code
