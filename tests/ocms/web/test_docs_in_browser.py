"""The page to read and try the API, in a real browser: Debian's chromium, headless."""

import os
import re
import shutil

import pytest
from fixtures.contracts import CONTRACT, each_operation
from fixtures.settings import CAS_KEY
from playwright.sync_api import expect, sync_playwright

from db.sample_data import seed_notices
from ocms.app import create_app

CHROMIUM = shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="needs a browser: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page; when the test ends, the console must be without errors and everything must have come from the server."""
    page = browser.new_page(viewport={"width": 1280, "height": 1600})
    page.errors, page.hosts = [], set()
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda request: page.hosts.add(request.url.split("/")[2]))
    yield page
    assert page.errors == []
    assert len(page.hosts) == 1, page.hosts
    page.close()


@pytest.fixture
def url(serve, make_settings, clock, database):
    with database.writing() as conn:
        seed_notices(conn, 10, lambda _: None)
    return serve(create_app(make_settings(), clock))


def test_a_partner_enters_a_key_and_tries_a_call(page, url):
    page.goto(f"{url}/docs#/CAS/getPaymentStatus")
    expect(page).to_have_title("OCMS integration API")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator("#api_key_value, input[aria-label='auth-api-key-value']").first.fill(CAS_KEY)
    page.locator(".auth-container").first.get_by_role("button", name=re.compile("Apply|Authorize")).click()
    page.get_by_role("button", name="Close").first.click()
    operation = page.locator("#operations-CAS-getPaymentStatus")
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    response = operation.locator(".live-responses-table")
    expect(response.locator(".response-col_status").last).to_contain_text("200")
    expect(response).to_contain_text("541000002E")


@each_operation
def test_a_link_opens_its_operation_with_every_outcome(page, url, operation):
    definition = CONTRACT.definition(operation)
    (tag,) = definition["tags"]
    page.goto(f"{url}/docs#/{tag}/{operation.operation_id}")
    opened = page.locator(f"#operations-{tag}-{operation.operation_id}")
    expect(opened.locator(".responses-inner")).to_be_visible()
    for status in definition["responses"].keys() - {"200"}:
        expect(opened.locator(f"tr.response[data-code='{status}']")).to_contain_text("appCode")
    expect(opened.locator("tr.response[data-code='200']")).to_contain_text("data")
    assert page.locator(".opblock.is-open").count() == 1


def test_a_partial_batch_is_shown_by_an_example(page, url):
    page.goto(f"{url}/docs#/CAS/updateCourtNotices")
    partial = page.locator("#operations-CAS-updateCourtNotices tr.response[data-code='207']")
    expect(partial).to_contain_text("this notice is in the batch more than once")
