"""Alerts to the operators through any channel that Apprise supports: mail, Teams, Slack, webhooks."""

from collections.abc import Sequence

import structlog

_log = structlog.get_logger(__name__)


def send_alert(urls: Sequence[str], title: str, text: str, *, good: bool = False) -> int:
    """Send an alert to every URL, and return how many channels accepted it. `good` marks good news.

    A channel that fails is logged. Nothing is raised, so a broken channel never stops a job.
    """
    if not urls:
        _log.warning("alert_not_sent", title=title, reason="OCMS_ALERT_URLS is empty")
    accepted = [_send(url, title, text, "success" if good else "failure") for url in urls]
    for number, success in enumerate(accepted, start=1):
        if not success:
            _log.error("alert_failed", title=title, channel=number)  # not the URL: it may hold a password
    return sum(accepted)


def _send(url: str, title: str, text: str, kind: str) -> bool:
    try:
        import apprise  # noqa: PLC0415  # importing it takes half a second, and most runs send no alert

        channel = apprise.Apprise()
        return bool(channel.add(url) and channel.notify(body=text, title=title, notify_type=kind))
    except Exception as error:  # noqa: BLE001  # no failure of a channel may stop the job
        _log.error("alert_broken", error=type(error).__name__)
        return False
