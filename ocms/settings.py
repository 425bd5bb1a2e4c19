"""The settings, from the environment or a ``.env`` file."""

import re
from datetime import time
from ipaddress import ip_network
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import pytz
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.errors import OperatorError
from ocms.keys import ApiKey

LAST_PORT = 65535
THREADS = 40
"""The threads of anyio, and the connections of `db.engine.POOL`."""


def _clock(text: str) -> time:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError("must be a time of day as HH:MM, such as 02:00")
    return time.fromisoformat(text)


def _window(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value:
        return None
    start, dash, end = value.partition("-")
    if not dash or start == end:
        raise ValueError("must be two different times as HH:MM-HH:MM, such as 22:00-23:59")
    return (_clock(start), _clock(end))


def _keys(value: Any) -> Any:
    return [ApiKey.parse(part) for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _zone(name: str) -> str:
    try:
        return str(pytz.timezone(name))  # the zones that the schedule knows
    except pytz.UnknownTimeZoneError:
        raise ValueError("must be a time zone such as Asia/Singapore") from None


def _web(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and not parts.query and parts.port != 0
    except ValueError:  # of a port that is no port
        usable = False
    if not usable:
        raise ValueError("must be a web address such as https://cas.example.gov.sg")
    return url.rstrip("/")


def _header(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]*", secret.get_secret_value()):
        raise ValueError("must be printable ASCII characters without blanks")
    return secret


def _token_keys(source: str) -> str:
    scheme, found, rest = source.partition("://")
    host = urlsplit(source).hostname if found else ""
    if found and not (rest and (scheme == "https" or (scheme == "http" and host in ("127.0.0.1", "localhost")))):
        raise ValueError("must be a file or an https address of a JWK set")
    return source


def _token_callers(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
    callers = {caller: claimed for caller, _, claimed in pairs}
    if not all(callers.values()) or len(callers) < len(pairs) or len(set(callers.values())) < len(pairs):
        raise ValueError("must be CALLER:CLAIM,CALLER:CLAIM, each caller and each value of the claim once")
    return callers


def _origins(value: Any) -> Any:
    return value.split() if isinstance(value, str) else value


def _proxies(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return [str(ip_network(part)) for part in value.split()]
    except ValueError:
        raise ValueError("must be addresses or networks such as 10.1.0.0/16, separated by blanks") from None


def _alert_urls(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not all(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", url) for url in value.split()):
        raise ValueError("must be Apprise URLs such as mailto://… separated by blanks")
    return value.split()


class Settings(BaseSettings):
    """Every setting; the environment variable is OCMS_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="OCMS_", env_file=".env", extra="ignore", frozen=True)

    database_url: str = "sqlite:///var/ocms.db"
    """Where the data is, as an SQLAlchemy URL."""
    database_connect_timeout: Annotated[int, Field(ge=1)] = 5
    """Seconds to wait for a connection to SQL Server."""
    database_timeout: Annotated[int, Field(ge=1)] = 30
    """Seconds that a statement may take on SQL Server."""
    api_keys: Annotated[list[ApiKey], NoDecode, BeforeValidator(_keys)] = []
    """The hashes of the callers' keys, as CALLER:HASH or CALLER:HASH:LAST-DAY by commas (`ocms keys create`)."""
    token_keys: Annotated[str, AfterValidator(_token_keys)] = ""
    """The public keys of who issues bearer tokens: a file or an https address of a JWK set; empty to accept none."""
    token_issuer: str = ""
    """The `iss` of those tokens."""
    token_audience: str = ""
    """The `aud` of those tokens."""
    token_claim: Annotated[str, Field(min_length=1)] = "sub"  # noqa: S105  # no password
    """The claim that tells the caller."""
    token_callers: Annotated[dict[str, str], NoDecode, BeforeValidator(_token_callers)] = {}
    """What the claim is for each caller, as CALLER:CLAIM,CALLER:CLAIM."""
    max_connections: Annotated[int, Field(ge=1)] = 2000
    """How many callers may be connected to a worker; a call of a further one is answered 503."""
    max_requests: Annotated[int, Field(ge=1, le=THREADS)] = THREADS
    """How many calls a worker serves at a time, at most as many as it has threads and database connections."""
    max_waiting: Annotated[int, Field(ge=0)] = 400
    """How many more calls may wait for that."""
    max_wait: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Seconds that a call may wait before it is answered 503."""
    request_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """Seconds that serving a call may take."""
    body_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """Seconds that a caller may take to send a call, and to read on in a response."""
    max_body_bytes: Annotated[int | None, Field(ge=1)] = None
    """The largest body that is read, where that shall be less than the contract says."""
    tls_cert_file: str | None = None
    """The certificate of the API, in PEM form, with those up to the authority; none for plain HTTP."""
    tls_key_file: str | None = None
    """The key of that certificate, when it is in a file of its own."""
    tls_key_password: SecretStr = SecretStr("")
    """What the key is encrypted with, if it is."""
    trusted_proxies: Annotated[list[str], NoDecode, BeforeValidator(_proxies)] = []
    """The addresses and networks whose X-Forwarded-For is believed, separated by blanks."""
    cors_origins: Annotated[list[str], NoDecode, BeforeValidator(_origins)] = []
    """The web pages that may call the API from a browser, as origins separated by blanks."""
    cas_url: Annotated[str, AfterValidator(_web)] = "http://127.0.0.1:8090"
    """The address of CAS."""
    cas_api_key: Annotated[SecretStr, AfterValidator(_header)] = SecretStr("")
    """The key that CAS has issued to OCMS."""
    cas_ca_file: str | None = None
    """A private authority that CAS's certificate must come from, in PEM form; none for the public ones."""
    cas_client_cert_file: str | None = None
    """The certificate that OCMS shows to CAS, in PEM form; its key may be in the same file."""
    cas_client_key_file: str | None = None
    """The key of that certificate, when it is in a file of its own."""
    cas_client_key_password: SecretStr = SecretStr("")
    """What the key is encrypted with, if it is."""
    cas_connect_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """Seconds to wait for a connection to CAS."""
    cas_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """Seconds to wait for each part of CAS's response."""
    cas_attempts: Annotated[int, Field(ge=1)] = 4
    """How often CAS is called before a refresh fails."""
    cas_retry_wait: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0
    """Seconds before the second call; each later wait is twice as long."""
    cas_deadline: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 900.0
    """Seconds that fetching the list may take in all, further attempts included."""
    cas_max_bytes: Annotated[int, Field(ge=1)] = 2**30
    """The largest response of CAS that is read, unpacked."""
    vip_refresh_at: Annotated[str, AfterValidator(lambda text: f"{_clock(text):%H:%M}")] = "02:00"
    """When the VIP list is refreshed each day, in the time zone below."""
    vip_min_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A new VIP list smaller than this share of the old one is refused."""
    vip_empty_by: Literal["truncate", "delete"] = "truncate"
    """How the VIP table is emptied on SQL Server; `truncate` is quick and needs the right to alter it."""
    timezone: Annotated[str, AfterValidator(_zone)] = "Asia/Singapore"
    """The zone of the time above. The business date and the window below are in Singapore time."""
    dayend_window: Annotated[tuple[time, time] | None, NoDecode, BeforeValidator(_window)] = None
    """When court updates are accepted, as HH:MM-HH:MM; empty for the whole day."""
    alert_urls: Annotated[list[str], NoDecode, BeforeValidator(_alert_urls)] = []
    """Where alerts go: Apprise URLs, separated by blanks."""
    port: Annotated[int, Field(ge=1, le=LAST_PORT)] = 8080
    """The port of the API."""
    cas_port: Annotated[int, Field(ge=1, le=LAST_PORT)] = 8090
    """The port of the mock CAS."""
    log_format: Literal["json", "console"] = "json"
    """How log lines look."""
    validate_responses: bool = False
    """Check each response against the contract before it is sent."""


def load_settings(**overrides: Any) -> Settings:
    """Read the settings. Raises OperatorError, in one line that names the variable, when one is wrong."""
    if unknown := [key for key in overrides if key not in Settings.model_fields]:
        raise TypeError(f"no such settings: {unknown}")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = f"OCMS_{first['loc'][0]}".upper()
        text = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
        raise OperatorError(f"{name} {text}") from None


DEFAULTS = Settings.model_construct()
"""The default of every setting, whatever the environment says. The mock CAS is served with them."""
