"""Alerts, to a real mail server and a real web hook."""

import pytest
import requests

from jobs.alerts import send_alert


def test_an_alert_reaches_every_channel(webhook, mailbox):
    assert send_alert([webhook.url, mailbox.url], "The title", "The text") == 2
    assert [(alert["title"], alert["message"]) for alert in webhook.alerts] == [("The title", "The text")]
    (mail,) = mailbox.mails
    assert "Subject: The title" in mail
    assert "ops@example.test" in mail


def test_a_channel_that_fails_holds_up_no_other_and_hides_its_address(webhook, logs):
    assert send_alert(["json://user:secret@127.0.0.1:9/", "nonsense", webhook.url], "The title", "The text") == 1
    assert len(webhook.alerts) == 1
    assert [line["channel"] for line in logs("alert_failed")] == [1, 2]
    assert "secret" not in logs.text()


def test_without_a_channel_the_log_says_so(logs):
    assert send_alert([], "The title", "The text") == 0
    assert logs("alert_not_sent")[0]["reason"] == "OCMS_ALERT_URLS has no URL"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_an_alert_counts_if_the_channel_accepts_it(webhook, status):
    webhook.status = status
    assert send_alert([webhook.url], "The title", "The text") == 1
    assert len(webhook.alerts) == 1


@pytest.mark.parametrize("status", [301, 302, 303])
def test_an_alert_that_is_redirected_to_a_page_does_not_count(webhook, logs, status):
    webhook.status = status
    assert send_alert([webhook.url], "The title", "The text") == 0
    assert (webhook.alerts, webhook.pages) == ([], 0)
    assert logs("alert_redirected")[0]["status"] == status
    assert [line["channel"] for line in logs("alert_failed")] == [1]


@pytest.mark.parametrize("status", [307, 308])
def test_an_alert_counts_if_a_redirect_delivers_it(webhook, status):
    webhook.status = status
    assert send_alert([webhook.url], "The title", "The text") == 1
    assert [alert["title"] for alert in webhook.alerts] == ["The title"]


@pytest.mark.parametrize("status", [300, 304, 400, 403, 404, 500, 503])
def test_an_alert_that_the_channel_refuses_does_not_count(webhook, status):
    webhook.status = status
    assert send_alert([webhook.url], "The title", "The text") == 0


def test_an_alert_that_the_channel_does_not_confirm_in_time_does_not_count(webhook):
    webhook.wait = 5
    assert send_alert([f"{webhook.url}?rto=0.2"], "The title", "The text") == 0


def test_redirects_of_other_clients_are_followed_as_before(webhook):
    send_alert([webhook.url], "The title", "The text")
    webhook.status = 302
    page = requests.post(webhook.url.replace("json", "http"), json={}, timeout=5)
    assert (page.status_code, webhook.pages) == (200, 1)


def test_a_url_is_one_channel_even_if_it_contains_another(webhook):
    assert send_alert([f"{webhook.url},{webhook.url}"], "The title", "The text") == 1
    assert len(webhook.alerts) == 1


def test_a_url_with_several_recipients_is_one_channel(mailbox):
    assert send_alert([mailbox.url.replace("ops@", "second@example.test,ops@")], "The title", "The text") == 1
    assert len(mailbox.mails) == 2
