"""The peer: the same handlers behind connexion as its documentation shows it, AsyncApp with the stock validators."""

import json
from typing import Any

import connexion
from connexion.exceptions import Forbidden, ProblemException
from connexion.lifecycle import ConnexionRequest, ConnexionResponse
from connexion.resolver import Resolver
from jsonschema import Draft4Validator

from db.engine import connect
from handlers import Services, load_handlers
from ocms.call import Call
from ocms.contract import Contract
from ocms.contract_types import FieldError
from ocms.errors import OcmsError
from ocms.keys import KeyRing
from ocms.rules import utc_now
from ocms.settings import load_settings
from ocms.validation import Record, to_json_schema

CONTRACT = Contract.load("ocms")
SETTINGS = load_settings()
KEYS = KeyRing(SETTINGS.api_keys)
BATCH = "CourtNoticeBatch"
RECORD = Draft4Validator(
    to_json_schema(CONTRACT.components["schemas"][BATCH]["items"] | {"components": CONTRACT.components}),
    format_checker=Draft4Validator.FORMAT_CHECKER,
)
HANDLERS = load_handlers(CONTRACT, Services(connect(SETTINGS.database_url), SETTINGS, utc_now))


def check_cas_key(apikey: str) -> dict[str, Any] | None:
    """Tell connexion whether a key is one of CAS."""
    return _check("CAS", apikey)


def check_plus_key(apikey: str) -> dict[str, Any] | None:
    """Tell connexion whether a key is one of PLUS."""
    return _check("PLUS", apikey)


def _check(expected: str, apikey: str) -> dict[str, Any] | None:
    caller = KEYS.caller_of(apikey)
    if caller not in (None, expected):
        raise Forbidden
    return {"sub": caller} if caller else None


def answer_problem(_: ConnexionRequest, error: ProblemException) -> ConnexionResponse:
    """Answer a request that is wrong."""
    data = {"appCode": f"OCMS-{error.status}0"[:9], "message": error.title, "errors": [{"message": error.detail}]}
    return ConnexionResponse(error.status, body=json.dumps({"data": data}), content_type="application/json")


def answer_error(_: ConnexionRequest, error: OcmsError) -> ConnexionResponse:
    """Answer what a handler has raised."""
    body = json.dumps(CONTRACT.error_body(error, "bench"))
    return ConnexionResponse(error.status, body=body, content_type="application/json")


def _faults(value: Any) -> list[FieldError]:
    return [
        {"field": "".join(f"/{part}" for part in error.absolute_path), "message": error.message}
        for error in RECORD.iter_errors(value)
    ]


def _resolve(operation_id: str) -> Any:
    def handle(body: Any, user: str, skip: int = 0, limit: int | None = None) -> tuple[Any, int]:
        if isinstance(body, list):
            body = [Record(index, value, _faults(value)) for index, value in enumerate(body)]
        query = {"skip": skip} | ({"limit": limit} if limit else {})
        reply = HANDLERS[operation_id](Call(CONTRACT, user, query, body, "bench"))
        return reply.body, reply.status

    return handle


def create_app() -> connexion.AsyncApp:
    """Return the app."""
    document = CONTRACT.published()
    for name, scheme in document["components"]["securitySchemes"].items():
        check = check_cas_key if name.startswith("Cas") else check_plus_key
        scheme["x-apikeyInfoFunc"] = f"{__name__}.{check.__name__}"
    document["components"]["schemas"][BATCH]["items"] = {}  # each record is validated by itself, in the handler
    app = connexion.AsyncApp(__name__)
    app.add_error_handler(ProblemException, answer_problem)
    app.add_error_handler(OcmsError, answer_error)
    app.add_api(document, resolver=Resolver(_resolve))
    return app
