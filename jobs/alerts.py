"""Alerts to the operators through any channel that Apprise supports: mail, Teams, Slack, webhooks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from domain.errors import OperatorError

SAME_REQUEST = (307, 308)
"""The statuses of redirects that repeat the request. After others, the HTTP library sends a GET without the message."""

_log = structlog.get_logger(__name__)


def require_usable(urls: Sequence[str]) -> None:
    """Raise OperatorError if no alert could be sent to a URL, for example because its service is unknown.

    The error has the position of the URL and not the URL, which may hold a password.
    """
    import apprise  # noqa: PLC0415  # importing it takes half a second

    for number, url in enumerate(urls, start=1):
        if not apprise.Apprise.instantiate(url):
            raise OperatorError(
                f"URL {number} of OCMS_ALERT_URLS is not that of a service that Apprise can use: correct it"
            )


def send_alert(urls: Sequence[str], title: str, text: str, *, good: bool = False) -> int:
    """Send an alert to every URL, and return how many channels accepted it. `good` marks good news.

    A failure of a channel is logged and not raised, so a broken channel never stops a job.
    """
    if not urls:
        _log.warning("alert_not_sent", title=title, reason="OCMS_ALERT_URLS has no URL")
    accepted = [_send(url, title, text, "success" if good else "failure") for url in urls]
    for number, success in enumerate(accepted, start=1):
        if not success:
            _log.error("alert_failed", title=title, channel=number)  # not the URL: it may hold a password
    return sum(accepted)


def _send(url: str, title: str, text: str, kind: str) -> bool:
    try:
        import apprise  # noqa: PLC0415  # importing it takes half a second, and most runs send no alert

        channel, service = apprise.Apprise(), apprise.Apprise.instantiate(url)  # add(url) would split it at commas
        with _redirected_only_with_the_message():
            return bool(service and channel.add(service) and channel.notify(body=text, title=title, notify_type=kind))
    except Exception as error:  # noqa: BLE001  # no failure of a channel may stop the job
        _log.error("alert_broken", error=type(error).__name__)
        return False


@contextmanager
def _redirected_only_with_the_message() -> Iterator[None]:
    """Prevent the requests library, which Apprise uses, from following a redirect that would lose the message.

    The library has no option for this. A redirect that is not followed counts as a failure of the channel, not as the
    success of, for example, a login page.
    """
    from requests import Response, Session  # noqa: PLC0415  # see above

    original = Session.get_redirect_target

    def target(session: Session, response: Response) -> str | None:
        if response.is_redirect and response.status_code not in SAME_REQUEST:
            _log.error("alert_redirected", status=response.status_code)
            return None
        return original(session, response)

    Session.get_redirect_target = target  # type: ignore[method-assign,assignment]  # restored below
    try:
        yield
    finally:
        Session.get_redirect_target = original  # type: ignore[method-assign]  # see above
