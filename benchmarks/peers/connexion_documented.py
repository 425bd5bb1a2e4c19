"""The peer: the same handlers behind connexion as its documentation shows it, AsyncApp with the stock validators."""

from typing import Any

import connexion
from connexion.resolver import Resolver

from db.engine import connect
from handlers import Services, load_handlers
from ocms.call import Call
from ocms.contract import Contract
from ocms.keys import KeyRing
from ocms.rules import utc_now
from ocms.settings import load_settings
from ocms.validation import Record

CONTRACT = Contract.load("ocms")
SETTINGS = load_settings()
KEYS = KeyRing(SETTINGS.api_keys)
HANDLERS = load_handlers(CONTRACT, Services(connect(SETTINGS.database_url), SETTINGS, utc_now))


def check_key(apikey: str) -> dict[str, Any] | None:
    """Tell connexion to whom a key belongs."""
    caller = KEYS.caller_of(apikey)
    return {"sub": caller} if caller else None


def _resolve(operation_id: str) -> Any:
    def handle(body: Any, user: str, skip: int = 0, limit: int | None = None) -> tuple[Any, int]:
        if isinstance(body, list):
            body = [Record(index, value, []) for index, value in enumerate(body)]
        query = {"skip": skip} | ({"limit": limit} if limit else {})
        reply = HANDLERS[operation_id](Call(CONTRACT, user, query, body, "bench"))
        return reply.body, reply.status

    return handle


def create_app() -> connexion.AsyncApp:
    """Return the app."""
    document = CONTRACT.published()
    for scheme in document["components"]["securitySchemes"].values():
        scheme["x-apikeyInfoFunc"] = f"{__name__}.{check_key.__name__}"
    app = connexion.AsyncApp(__name__)
    app.add_api(document, resolver=Resolver(_resolve))
    return app
