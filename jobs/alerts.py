"""Alerts to the operators, over whatever Apprise can reach: mail, Teams, Slack, webhooks."""

from collections.abc import Sequence

import structlog

_log = structlog.get_logger(__name__)


def send_alert(urls: Sequence[str], title: str, text: str, *, good: bool = False) -> int:
    """Send an alert, of good news or bad, to every URL; return how many took it.

    A channel that fails is logged and never raises: an alert is not worth a job.
    """
    if not urls:
        _log.warning("alert_not_sent", title=title, reason="OCMS_ALERT_URLS is empty")
    taken = [_send(url, title, text, "success" if good else "failure") for url in urls]
    for number, sent in enumerate(taken, start=1):
        if not sent:
            _log.error("alert_failed", title=title, channel=number)  # not the URL: it may hold a password
    return sum(taken)


def _send(url: str, title: str, text: str, kind: str) -> bool:
    try:
        import apprise  # noqa: PLC0415  # takes half a second, and most runs send nothing

        channel = apprise.Apprise()
        return bool(channel.add(url) and channel.notify(body=text, title=title, notify_type=kind))
    except Exception as error:  # noqa: BLE001  # whatever a channel does, the job goes on
        _log.error("alert_broken", error=type(error).__name__)
        return False
