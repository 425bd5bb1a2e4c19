"""``ocms alerts``: try where alerts go."""

import typer

app = typer.Typer(help="The alerts: send one to see that it arrives.", rich_markup_mode=None)


@app.callback()
def alerts() -> None:
    """Make `test` a command of its own, although it is the only one."""


@app.command()
def test() -> None:
    """Send an alert to every channel of OCMS_ALERT_URLS. Exit code 0 only when all of them took it."""
    from domain.errors import OperatorError
    from jobs.alerts import send_alert
    from ocms.cli.context import configured

    settings = configured()
    if not settings.alert_urls:
        raise OperatorError("OCMS_ALERT_URLS is empty: set it to Apprise URLs, separated by blanks")
    taken = send_alert(
        settings.alert_urls, "OCMS: a test alert", "If you can read this, alerts arrive here.", good=True
    )
    if taken < len(settings.alert_urls):
        raise OperatorError("not every channel took the alert; the log tells which, by its place in OCMS_ALERT_URLS")
    typer.echo(f"{taken} channels took the alert.")
