"""The published document and the page, without a key."""

import httpx2
import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from contract.document import Contract
from ocms.mock_cas.app import MockCas, create_mock_cas


@pytest.fixture
def anyone(cas):
    """A client without a key."""
    with httpx2.Client(base_url=cas.base_url) as client:
        yield client


def test_the_document_is_published_as_partners_get_it(anyone):
    response = anyone.get("/openapi.json")
    assert response.status_code == 200
    assert response.json() == Contract.load("ocms").published()
    assert "x-ocms-" not in response.text
    OpenAPIV30SpecValidator(response.json()).validate()


def test_the_page_and_everything_it_loads_come_from_this_server(anyone):
    page = anyone.get("/docs")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    loaded = ["docs/ui/swagger-ui.css", "docs/ui/swagger-ui-bundle.js", "docs/docs.js", "docs/ui/favicon-32x32.png"]
    for path in loaded:
        assert path in page.text
        assert anyone.get(f"/{path}").status_code == 200, path
    assert "http://" not in page.text
    assert "https://" not in page.text


@pytest.mark.parametrize("path", ["/docs/", "/docs/ui/", "/docs/ui/%2e%2e/flask_swagger_ui.py"])
def test_nothing_else_is_served(anyone, path):
    assert anyone.get(path).status_code == 404


def test_the_mock_cas_publishes_its_document_as_well(serve):
    assert httpx2.get(serve(create_mock_cas(MockCas())) + "/openapi.json").json() == Contract.load("cas").published()
