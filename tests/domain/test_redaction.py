"""What is removed from the error texts of libraries."""

import pytest

from domain.redaction import redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("illegal header line: bytearray(b'X-API-Key : secret')", "illegal header line: ***"),
        ("Illegal header value b'it\\'s a secret\\x00'", "Illegal header value ***"),
        ('illegal chunk header: bytearray(b"it\'s a secret") was read', "illegal chunk header: *** was read"),
        ("DRIVER=x;UID=me;PWD=secret;SERVER=h", "DRIVER=x;UID=me;PWD=***;SERVER=h"),
        ("Can't open lib 'FreeTDS,PWD=secret' : file not found", "Can't open lib 'FreeTDS,PWD=***"),
        ("pwd={a;se}}cret};Server=h", "pwd=***;Server=h"),
        ("Password = secret", "Password=***"),
        ("?driver=x&AccessToken=secret&a=b", "?driver=x&AccessToken=***&a=b"),
        ("cannot reach https://user:secret@host/path", "cannot reach https://***@host/path"),
        ("cannot reach https://user:sec/ret@host/path", "cannot reach https://***@host/path"),
        ("cannot reach http://secret@host:80", "cannot reach http://***@host:80"),
        ("mssql+pyodbc://user:se@cret@host/db", "mssql+pyodbc://***@host/db"),
        ("The duplicate key value is (VIP (1), A).", "The duplicate key value is ***."),
        ("duplicate key value is (VIP-1). (2627) (SQLEx", "duplicate key value is ***. (2627) (SQLEx"),
        ("column 'vip_vehicle'. Truncated value: 'it's VIP-1'.", "column 'vip_vehicle'. Truncated value: ***."),
        ("converting the varchar value 'VIP-1' to data type int", "converting the varchar value *** to data type int"),
        ("[Errno 104] Connection reset by peer", "[Errno 104] Connection reset by peer"),
        ("no such table: web'x'", "no such table: web'x'"),
        ("check user and password", "check user and password"),
        ("https://host/path?to=me@example.org", "https://host/path?to=me@example.org"),
    ],
)  # fmt: skip
def test_secrets_and_data_are_removed_from_a_text(text, shown):
    assert redacted(text) == shown
