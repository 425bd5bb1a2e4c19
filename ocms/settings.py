"""The settings of the service, read from the environment and from a ``.env`` file.

Each setting is described here only. `make settings` writes these descriptions into the README.
"""

import re
from datetime import time
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import pytz
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from db.dialect import EMPTY_BY, EmptyBy
from db.sql_server import CONNECT_TIMEOUT, CONNECTIONS, STATEMENT_TIMEOUT
from domain.errors import OperatorError
from ocms.environment import QUOTED, read_variables
from ocms.keys import ApiKey
from ocms.setting_names import PREFIX

LAST_PORT = 65535

_NEEDS = {
    "tls_key_file": "tls_cert_file",
    "tls_key_password": "tls_cert_file",
    "cas_client_key_file": "cas_client_cert_file",
    "cas_client_key_password": "cas_client_cert_file",
    "token_issuer": "token_keys",
    "token_audience": "token_keys",
    "token_claim": "token_keys",
    "token_callers": "token_keys",
    "token_max_lifetime": "token_keys",
}
"""Settings that have no effect without another one."""
_NEEDED_FOR_TOKENS = ("token_issuer", "token_audience", "token_callers")
_NEEDS_HTTPS = ("cas_ca_file", "cas_client_cert_file")
"""Settings that have no effect unless the address of CAS begins with https."""
_URL = TypeAdapter(HttpUrl)  # normalizes a URL as browsers do


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
    if not isinstance(value, str):
        return value
    keys = [ApiKey.parse(part) for part in value.split(",") if part.strip()]
    if len({key.hash for key in keys}) < len(keys):
        raise ValueError("has the same hash twice: each key belongs to one caller and has one last day")
    return keys


def _zone(name: str) -> str:
    try:
        return str(pytz.timezone(name))  # the schedule library uses the zones of pytz
    except pytz.UnknownTimeZoneError:
        raise ValueError("must be a time zone such as Asia/Singapore") from None


def _web(url: str) -> str:
    if not _is_web_address(url) or "?" in url or "#" in url:
        raise ValueError("must be a web address such as https://cas.example.gov.sg")
    _require_no_user(url)
    return url.rstrip("/")


def _is_web_address(url: str) -> bool:
    # importing the HTTP client takes 0.06 s
    from jobs.addresses import is_web_address  # noqa: PLC0415

    return is_web_address(url)


def _require_no_user(url: str) -> None:
    if "@" in urlsplit(url).netloc:
        raise ValueError("must not have a user or password, since logs and alerts show the address")


def _header(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]*", secret.get_secret_value()):
        raise ValueError("must be printable ASCII characters without blanks")
    if QUOTED.fullmatch(secret.get_secret_value()):
        raise ValueError("is in quotes, which would be part of the value; remove them")
    return secret


def _token_keys(source: str) -> str:
    if "://" not in source:
        return source
    if not _is_web_address(source) or (
        not source.startswith("https:") and urlsplit(source).hostname not in ("127.0.0.1", "localhost")
    ):
        raise ValueError("must be a file or an https address of a JWK set")
    _require_no_user(source)
    return source


def _token_callers(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
    callers = {caller: claimed for caller, _, claimed in pairs}
    if not all(callers.values()) or len(callers) < len(pairs) or len(set(callers.values())) < len(pairs):
        raise ValueError("must be CALLER:CLAIM,CALLER:CLAIM, with each caller and each value of the claim only once")
    return callers


def _origins(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not all(map(_is_origin, value.split())):
        raise ValueError(
            "must be origins such as https://console.example.gov.sg, separated by blanks: "
            "lower case, without '*', a path, a final slash or the default port"
        )
    return value.split()


def _is_origin(text: str) -> bool:
    """Return whether a text is an origin exactly as browsers send it, since origins are compared as text."""
    try:
        normal = str(_URL.validate_python(text))
    except ValidationError:
        return False
    return normal == f"{text}/" and bool(re.fullmatch(r"https?://[a-z0-9._:\[\]-]+", text))


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
    scheme = r"[A-Za-z][A-Za-z0-9+.-]*://"
    # Apprise separates URLs by commas too.
    urls = [url for url in re.split(rf"[\s,;]+(?={scheme})|[\s,;]+$", value.strip()) if url]
    if not all(re.fullmatch(rf"{scheme}\S+", url) for url in urls):
        raise ValueError("must be Apprise URLs such as mailto://… separated by blanks")
    return urls


class Settings(BaseSettings):
    """All settings. The environment variable of each is `OCMS_` and its name in capitals."""

    model_config = SettingsConfigDict(frozen=True)

    database_url: str = "sqlite:///var/ocms.db"
    """The database, as an SQLAlchemy URL."""
    database_connect_timeout: Annotated[int, Field(ge=1)] = CONNECT_TIMEOUT
    """Time limit for connecting to SQL Server, in seconds."""
    database_timeout: Annotated[int, Field(ge=1)] = STATEMENT_TIMEOUT
    """Time limit for a statement on SQL Server, in seconds."""
    api_keys: Annotated[list[ApiKey], NoDecode, BeforeValidator(_keys)] = []
    """Hashes of the API keys: `CALLER:HASH` or `CALLER:HASH:LAST-DAY`, separated by commas (`ocms keys create`)."""
    token_keys: Annotated[str, AfterValidator(_token_keys)] = ""
    """JWK set of the token issuer: a file or an https URL. If not set, tokens are not accepted."""
    token_issuer: str = ""
    """Required `iss` of a token."""
    token_audience: str = ""
    """Required `aud` of a token."""
    token_claim: Annotated[str, Field(min_length=1)] = "sub"  # noqa: S105  # not a password
    """Claim that names the caller."""
    token_callers: Annotated[dict[str, str], NoDecode, BeforeValidator(_token_callers)] = {}
    """Value of that claim for each caller: `CALLER:CLAIM`, separated by commas."""
    token_max_lifetime: Annotated[int, Field(ge=1)] = 7200
    """Longest accepted lifetime of a token, from `iat` to `exp`, in seconds."""
    max_connections: Annotated[int, Field(ge=1)] = 2000
    """Maximum number of connections to a worker. A further connection gets a 503."""
    max_requests: Annotated[int, Field(ge=1, le=CONNECTIONS)] = CONNECTIONS
    """Maximum number of requests that a worker serves at a time. It cannot exceed 40."""
    max_waiting: Annotated[int, Field(ge=0)] = 400
    """Maximum number of requests that wait for a worker. A further request gets a 503."""
    max_wait: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Time limit for a request to wait in a worker, in seconds; sending the body does not count. Then it gets a 503."""
    max_received_bytes: Annotated[int, Field(ge=1)] = 2**27
    """Maximum size of all request bodies that a worker holds at a time, in bytes. Beyond it a request gets a 503."""
    caller_share: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Largest share of the maximum of requests, of waiting requests and of received bytes that one caller may take."""
    request_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 50.0
    """Time limit for serving a request, in seconds. Then it gets a 503. The gateway's time limit must be longer."""
    body_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """Time limit for a caller to send a request, and for each pause while it reads a response, in seconds."""
    keep_alive: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 75.0
    """How long an idle connection stays open, in seconds. The gateway must close its idle connections earlier."""
    tls_cert_file: str | None = None
    """Certificate chain of the API, in PEM form. If not set, the API uses plain HTTP."""
    tls_key_file: str | None = None
    """Private key of that certificate, if it is in another file."""
    tls_key_password: SecretStr = SecretStr("")
    """Password of that key, if it has one."""
    trusted_proxies: Annotated[list[str], NoDecode, BeforeValidator(_proxies)] = []
    """Addresses and networks whose `X-Forwarded-For` is trusted, separated by blanks."""
    cors_origins: Annotated[list[str], NoDecode, BeforeValidator(_origins)] = []
    """Origins of web pages that may call the API from a browser, separated by blanks."""
    cas_url: Annotated[str, AfterValidator(_web)] = "http://127.0.0.1:8090"
    """Address of CAS."""
    cas_api_key: Annotated[SecretStr, AfterValidator(_header)] = SecretStr("")
    """API key that CAS issued to OCMS."""
    cas_ca_file: str | None = None
    """Private authority that signed CAS's certificate, in PEM form. If not set, public authorities are trusted."""
    cas_client_cert_file: str | None = None
    """Client certificate for calls to CAS, in PEM form."""
    cas_client_key_file: str | None = None
    """Private key of that certificate, if it is in another file."""
    cas_client_key_password: SecretStr = SecretStr("")
    """Password of that key, if it has one."""
    cas_connect_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """Time limit for connecting to CAS, in seconds."""
    cas_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """Time limit for each wait for data from CAS, in seconds."""
    cas_attempts: Annotated[int, Field(ge=1)] = 4
    """Maximum number of requests to CAS for one list. A transient database error starts the refresh again."""
    cas_retry_wait: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0
    """Seconds before the first retry. Later waits double, up to 8 times this value; a random part is added."""
    cas_deadline: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 900.0
    """Time limit for fetching the list, retries included, in seconds."""
    cas_max_bytes: Annotated[int, Field(ge=1)] = 2**30
    """Maximum size of CAS's response after decompression, in bytes."""
    trust_environment: bool = True
    """Whether calls to CAS and the token issuer obey proxy variables, `SSL_CERT_FILE` and `SSL_CERT_DIR`."""
    vip_refresh_at: Annotated[str, AfterValidator(lambda text: f"{_clock(text):%H:%M}")] = "02:00"
    """Time of day of the VIP refresh."""
    vip_min_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A new VIP list smaller than this share of the old one is refused."""
    vip_empty_by: EmptyBy = EMPTY_BY
    """How the VIP table is emptied on SQL Server: `truncate` requires ALTER on it, `delete` does not."""
    timezone: Annotated[str, AfterValidator(_zone)] = "Asia/Singapore"
    """Time zone of `OCMS_VIP_REFRESH_AT`. All other times are Singapore time."""
    dayend_window: Annotated[tuple[time, time] | None, NoDecode, BeforeValidator(_window)] = None
    """Hours of court updates, as `HH:MM-HH:MM`; if not set, all day. A window belongs to the day on which it begins."""
    alert_urls: Annotated[list[str], NoDecode, BeforeValidator(_alert_urls)] = []
    """Apprise URLs of the alert channels, separated by blanks or commas."""
    port: Annotated[int, Field(ge=1, le=LAST_PORT)] = 8080
    """Port of the API."""
    cas_port: Annotated[int, Field(ge=1, le=LAST_PORT)] = 8090
    """Port of the mock CAS."""
    log_format: Literal["json", "console"] = "json"
    """Format of log lines: `json` or `console`."""
    validate_responses: bool = False
    """Whether each response is checked against the contract before it is sent."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Replace the library's readers, which ignore unknown variables and invalid lines of `.env`."""
        return init_settings, InitSettingsSource(settings_cls, dict(read_variables(settings_cls.model_fields)))

    @model_validator(mode="after")
    def _require_effect(self) -> Self:
        """Refuse a setting without effect, and an incomplete group of settings: the operator expects them to work."""
        for name, needed in _NEEDS.items():
            if self._is_set(name) and not self._is_set(needed):
                raise ValueError(f"{variable(name)} has no effect without {variable(needed)}: set both or neither")
        for name in _NEEDED_FOR_TOKENS:
            if self.token_keys and not self._is_set(name):
                raise ValueError(f"{variable(name)} is missing: set it, since OCMS_TOKEN_KEYS is set")
        for name in _NEEDS_HTTPS:
            if self._is_set(name) and not self.cas_url.startswith("https://"):
                raise ValueError(f"{variable(name)} has no effect without TLS: OCMS_CAS_URL must begin with https://")
        return self

    def _is_set(self, name: str) -> bool:
        value = getattr(self, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return bool(text) and value != type(self).model_fields[name].default


def variable(name: str) -> str:
    """Return the name of the environment variable of a setting."""
    return f"{PREFIX}{name}".upper()


def load_settings(**overrides: Any) -> Settings:
    """Read the settings. Raises OperatorError, in one line that names the variable, if one is invalid or unknown."""
    if unknown := [key for key in overrides if key not in Settings.model_fields]:
        raise TypeError(f"no such settings: {unknown}")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        text = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
        if first["loc"]:  # otherwise the settings do not fit together, and the text names them
            text = f"{variable(str(first['loc'][0]))} {text}"
        raise OperatorError(text) from None


DEFAULTS = Settings.model_construct()
"""The default of every setting, regardless of the environment. The mock CAS uses them."""
