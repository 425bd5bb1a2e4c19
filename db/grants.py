"""The permissions that the service's login needs on SQL Server, and no others."""

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
    tables.vip_vehicle: ("SELECT", "INSERT", "ALTER"),  # TRUNCATE TABLE needs ALTER
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
"""The only columns of the existing OCMS tables that the service updates."""

_HEADER = f"""\
-- All permissions that the login of the OCMS integration service needs. Run this script in the database of OCMS after
-- upgrade.sql, as its owner, in the schema of the tables. Then add the user of the login to the role:
--     ALTER ROLE {ROLE} ADD MEMBER [user];
-- If ALTER on ocms_vip_vehicle is too much, grant DELETE on it instead and set OCMS_VIP_EMPTY_BY=delete.
"""


def grant_script() -> str:
    """Return the T-SQL that creates the role and grants it the permissions."""
    return "\n".join((_HEADER, f"CREATE ROLE {ROLE};", *_grants(), ""))


def _grants() -> Iterator[str]:
    yield f"GRANT SELECT ON {VERSION_TABLE} TO {ROLE};"
    for table, permissions in GRANTS.items():
        shown = ", ".join(
            f"{name} ({', '.join(WRITTEN[table])})" if name == "UPDATE" and table in WRITTEN else name
            for name in permissions
        )
        yield f"GRANT {shown} ON {table.name} TO {ROLE};"
