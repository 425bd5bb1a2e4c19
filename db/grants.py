"""What the login of the service may do on SQL Server: no more than the service does."""

from collections.abc import Iterator, Mapping

from sqlalchemy import Table

from db import tables
from db.notices import COURT_DETAIL, COURT_NOTICE
from db.schema import VERSION_TABLE

ROLE = "ocms_integration"

_READ_AND_WRITE = ("SELECT", "INSERT", "UPDATE")
GRANTS: Mapping[Table, tuple[str, ...]] = {
    tables.valid_offence_notice: ("SELECT", "UPDATE"),
    tables.offence_notice_detail: _READ_AND_WRITE,
    tables.vip_vehicle: ("SELECT", "INSERT", "ALTER"),  # ALTER is what TRUNCATE TABLE needs
    tables.cas_emcons: _READ_AND_WRITE,
    tables.court_case: _READ_AND_WRITE,
    tables.dayend: _READ_AND_WRITE,
    tables.job_run: _READ_AND_WRITE,
}
"""The permissions on each table."""
WRITTEN = {
    table: [column.name for column in (*columns, table.c.upd_date, table.c.upd_user_id)]
    for table, columns in ((tables.valid_offence_notice, COURT_NOTICE), (tables.offence_notice_detail, COURT_DETAIL))
}
"""The only columns of the existing tables that are updated."""

_HEADER = f"""\
-- What the login of the OCMS integration service needs, and no more. Run it in the database of OCMS after upgrade.sql,
-- as its owner, in the schema of the tables; then make the user of the login a member of the role:
--     ALTER ROLE {ROLE} ADD MEMBER [user];
-- Where ALTER on ocms_vip_vehicle is too much, grant DELETE on it instead and set OCMS_VIP_EMPTY_BY=delete.
"""


def grant_script() -> str:
    """Return the T-SQL that grants the permissions to a role."""
    return "\n".join((_HEADER, f"CREATE ROLE {ROLE};", *_grants(), ""))


def _grants() -> Iterator[str]:
    yield f"GRANT SELECT ON {VERSION_TABLE} TO {ROLE};"
    for table, permissions in GRANTS.items():
        shown = ", ".join(
            f"{name} ({', '.join(WRITTEN[table])})" if name == "UPDATE" and table in WRITTEN else name
            for name in permissions
        )
        yield f"GRANT {shown} ON {table.name} TO {ROLE};"
