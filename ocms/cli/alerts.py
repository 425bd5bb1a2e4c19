"""``ocms alerts``: test the alert channels."""

import typer

app = typer.Typer(help="The alert channels.", rich_markup_mode=None)


@app.callback()
def alerts() -> None:
    """Keep `test` a subcommand: typer merges a single command into its group."""


@app.command()
def test() -> None:
    """Send an alert to every channel of OCMS_ALERT_URLS. Exit code 0 only if all of them accept it."""
    from domain.errors import OperatorError
    from jobs.alerts import send_alert
    from ocms.cli.context import configured

    settings = configured()
    if not settings.alert_urls:
        raise OperatorError("OCMS_ALERT_URLS has no URL: set it to Apprise URLs, separated by blanks")
    accepted = send_alert(
        settings.alert_urls, "OCMS: a test alert", "If you can read this, alerts arrive here.", good=True
    )
    if accepted < len(settings.alert_urls):
        raise OperatorError(
            "not every channel accepted the alert; the log has the position of each failed one in OCMS_ALERT_URLS"
        )
    typer.echo(f"{accepted} channels accepted the alert.")
