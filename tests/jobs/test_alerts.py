"""Alerts, to a real mail server and a real web hook."""

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
    assert logs("alert_not_sent")[0]["reason"] == "OCMS_ALERT_URLS is empty"
