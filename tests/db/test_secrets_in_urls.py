"""No command and no error shows the password in OCMS_DATABASE_URL, wherever in the URL it is."""

from urllib.parse import quote

import pytest

from db.driver_errors import of_odbc
from db.engine import connect
from domain.errors import OperatorError

pyodbc = pytest.importorskip("pyodbc", exc_type=ImportError)
SECRET = "s3cret"
CONNECTION = f"DRIVER=FreeTDS;SERVER=127.0.0.1;PORT=9;UID=me;PWD={SECRET}"

URLS = [
    f"mssql+pyodbc://me:{SECRET}@127.0.0.1:9/ocms?driver=FreeTDS",
    f"mssql+pyodbc://127.0.0.1:9/ocms?driver=FreeTDS&UID=me&PWD={SECRET}",
    f"mssql+pyodbc://?odbc_connect={quote(CONNECTION)}",
    f"mssql+pyodbc://?odbc_connect={quote(CONNECTION.replace(';', ','))}",
    f"mssql+pyodbc://?odbc_connect={quote(CONNECTION.replace('FreeTDS', 'None'))}",
    f"mssql+pyodbc://?odbc_connect={quote('DSN=none;PWD={' + SECRET + '}')}",
    f"mssql+pyodbc://me:x@{SECRET}@127.0.0.1:9/ocms",
    f"mssql+pyodbc://me:x@a/{SECRET}@127.0.0.1:9/ocms",
    f"mssql+pyodbc://me:x:{SECRET}@127.0.0.1:9/ocms?driver=FreeTDS",
    f"mssql+pyodbc://me@127.0.0.1:{SECRET}/ocms",
    f"postgresql://me:{SECRET}@127.0.0.1/ocms",
    SECRET,
]


@pytest.mark.parametrize("url", URLS)
def test_a_command_that_cannot_use_the_database_does_not_show_its_password(ocms, url):
    done = ocms("db", "check", OCMS_DATABASE_URL=url, OCMS_DATABASE_CONNECT_TIMEOUT="1")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("ocms: ")
    assert SECRET not in done.stdout + done.stderr


def test_a_database_is_named_without_password_and_options():
    assert str(connect(URLS[0])) == "mssql+pyodbc://me:***@127.0.0.1/ocms"
    assert str(connect(URLS[1])) == "mssql+pyodbc://127.0.0.1/ocms"
    assert str(connect(URLS[2])) == "the database of OCMS_DATABASE_URL"


def test_an_at_sign_that_is_not_escaped_is_refused():
    with pytest.raises(OperatorError, match="write '@' in a user name or password as %40"):
        connect(URLS[6])
    assert str(connect("mssql+pyodbc://me%40home:a%40b@h/ocms?driver=FreeTDS")) == "mssql+pyodbc://me%40home:***@h/ocms"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Violation of 'PK'. The duplicate key value is (SGX1234A).",
            "Violation of 'PK'. The duplicate key value is ***",
        ),
        ("Data would be truncated. Truncated value: 'SGX1234A'.", "Data would be truncated. Truncated value: ***"),
    ],
)
def test_an_error_of_the_server_does_not_show_the_values_of_a_row(text, shown):
    error = pyodbc.Error("23000", f"[23000] [Microsoft][ODBC Driver 18][SQL Server]{text} (2627) (SQLExecDirectW)")
    assert str(of_odbc(error)) == shown
