"""The runs of jobs, `ocms_job_run`: when each started, how it ended, and whether an alert about it was sent.

A run in the future, recorded while a clock was wrong, does not count: queries with `now` exclude it.
`exclude_future_runs` records it as interrupted, so that it does not count when its time has come either.
"""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import VARCHAR, ColumnElement, Connection, and_, case, func, insert, or_, select, update

from db.tables import job_run
from domain.clock import CLOCK_SKEW

RUNNING, SUCCEEDED, FAILED, INTERRUPTED, MISSED = "running", "succeeded", "failed", "interrupted", "missed"
"""The outcomes of a run. An interrupted run was stopped or killed; a missed run means that none succeeded in time."""

_ENDED = (SUCCEEDED, FAILED, MISSED)
"""The outcomes that count for due times, alerts and checks."""

RunRow = dict[str, Any]


class Incident(NamedTuple):
    """The last success, and the failed and missed runs before it (back to the previous success) and after it."""

    success: RunRow | None
    before: list[RunRow]
    after: list[RunRow]


class Changes(NamedTuple):
    """The numbers of rows that the table had and has, and of the rows that the run added, removed and changed."""

    rows_before: int
    rows: int
    added: int
    removed: int
    changed: int


def insert_run(conn: Connection, job: str, started: datetime, *, host: str, due: datetime | None = None) -> int:
    """Record that a job has started, and return the number of the run. `due` is None for a run by hand."""
    return _insert(conn, job=job, started=started, due=due, host=host, outcome=RUNNING)


def insert_missed(  # noqa: PLR0913  # the columns of a missed run
    conn: Connection, job: str, now: datetime, *, host: str, due: datetime, reason: str, detail: str
) -> int:
    """Record that a job has not succeeded in time, and return the number of this record."""
    columns = {"outcome": MISSED, "reason": reason, "detail": _cut("detail", detail)}
    return _insert(conn, job=job, started=now, finished=now, due=due, host=host, **columns)


def _insert(conn: Connection, *, host: str, **columns: Any) -> int:
    result = conn.execute(insert(job_run).values(_without_none({"host": _cut("host", host)} | columns)))
    return int(result.inserted_primary_key[0])  # type: ignore[index]  # an insert of one row has a key


def has_open_runs(conn: Connection, job: str) -> bool:
    """Return whether a run of a job has no recorded end: it is running, or its process was killed."""
    statement = select(job_run.c.run_id).where(job_run.c.job == job, job_run.c.outcome == RUNNING).limit(1)
    return conn.execute(statement).first() is not None


def close_abandoned_runs(conn: Connection, job: str, *, reason: str, detail: str) -> int:
    """Record the runs of a job that have no end as interrupted, and return how many. Their time of end stays NULL.

    The caller must hold the job's lock: otherwise a run may still be running.
    """
    columns = {"outcome": INTERRUPTED, "reason": reason, "detail": _cut("detail", detail)}
    abandoned = update(job_run).where(job_run.c.job == job, job_run.c.outcome == RUNNING)
    return conn.execute(abandoned.values(columns)).rowcount


def finish_run(  # noqa: PLR0913  # the columns of a finished run
    conn: Connection,
    run_id: int,
    finished: datetime,
    outcome: str,
    *,
    changes: Changes | None = None,
    reason: str | None = None,
    detail: str = "",
) -> bool:
    """Record how a run ended, and return whether it was still running. `detail` is cut to fit its column."""
    columns = {"finished": finished, "outcome": outcome, "reason": reason, "detail": _cut("detail", detail)}
    counted = changes._asdict() if changes else {}
    running = and_(job_run.c.run_id == run_id, job_run.c.outcome == RUNNING)
    return conn.execute(update(job_run).where(running).values(_without_none(columns | counted))).rowcount == 1


def set_alerted(conn: Connection, run_id: int, now: datetime) -> None:
    """Record that an alert about a run was sent."""
    conn.execute(update(job_run).where(job_run.c.run_id == run_id).values(alerted=now))


def get_run(conn: Connection, run_id: int) -> RunRow | None:
    """Return a run, or None if it does not exist."""
    row = conn.execute(select(job_run).where(job_run.c.run_id == run_id)).mappings().first()
    return None if row is None else dict(row)


def is_succeeded(conn: Connection, run_id: int) -> bool:
    """Return whether a run has succeeded."""
    run = get_run(conn, run_id)
    return run is not None and run["outcome"] == SUCCEEDED


def list_runs(conn: Connection, limit: int) -> list[RunRow]:
    """Return at most `limit` runs, the newest first."""
    statement = select(job_run).order_by(job_run.c.run_id.desc()).limit(limit)
    return [dict(row) for row in conn.execute(statement).mappings()]


def get_future_run(conn: Connection, job: str, now: datetime) -> RunRow | None:
    """Return the last run of a job that started or ended in the future, or None.

    A run that `exclude_future_runs` would change comes before the others.
    """
    others_last = case((job_run.c.outcome.in_(_ENDED), 0), else_=1)
    in_future = select(job_run).where(job_run.c.job == job, _later(now)).order_by(others_last, job_run.c.started.desc())
    row = conn.execute(in_future.limit(1)).mappings().first()
    return None if row is None else dict(row)


def exclude_future_runs(conn: Connection, job: str, now: datetime, *, reason: str) -> int:
    """Record the ended runs of a job in the future as interrupted, and return how many. Their details are kept.

    A run in progress is not changed: it could not record its end.
    """
    ended = and_(job_run.c.job == job, job_run.c.outcome.in_(_ENDED), _later(now))
    return conn.execute(update(job_run).where(ended).values(outcome=INTERRUPTED, reason=reason)).rowcount


def list_outcomes(conn: Connection, job: str, since: datetime, now: datetime) -> set[str]:
    """Return the outcomes of the runs of a job that started at `since` or later."""
    statement = select(job_run.c.outcome).where(_counted(job, now), job_run.c.started >= since).distinct()
    return set(conn.execute(statement).scalars())


def get_incident(conn: Connection, job: str, now: datetime) -> Incident:
    """Return the last success of a job, and the failed and missed runs that an alert may be about."""
    counted = _counted(job, now)
    successes = select(job_run).where(counted, job_run.c.outcome == SUCCEEDED).order_by(job_run.c.finished.desc())
    last = [dict(row) for row in conn.execute(successes.limit(2)).mappings()]
    bad = select(job_run).where(counted, job_run.c.outcome.in_((FAILED, MISSED))).order_by(job_run.c.run_id)
    if len(last) > 1:
        bad = bad.where(job_run.c.started >= last[1]["finished"])
    runs = [dict(row) for row in conn.execute(bad).mappings()]
    success = last[0] if last else None
    end = (success["finished"], success["run_id"]) if success else None
    before = [run for run in runs if end and (run["started"], run["run_id"]) < end]
    return Incident(success, before, [run for run in runs if run not in before])


def get_last_success(conn: Connection, job: str, now: datetime) -> datetime | None:
    """Return the time of the last success of a job, or None."""
    succeeded = and_(_counted(job, now), job_run.c.outcome == SUCCEEDED)
    return conn.execute(select(func.max(job_run.c.finished)).where(succeeded)).scalar()


def get_first_start(conn: Connection, job: str, now: datetime) -> datetime | None:
    """Return the time of the first start of a job, or None."""
    return conn.execute(select(func.min(job_run.c.started)).where(_counted(job, now))).scalar()


def _counted(job: str, now: datetime) -> ColumnElement[bool]:
    latest = now + CLOCK_SKEW
    ended = or_(job_run.c.finished.is_(None), job_run.c.finished <= latest)
    return and_(job_run.c.job == job, job_run.c.started <= latest, ended)


def _later(now: datetime) -> ColumnElement[bool]:
    latest = now + CLOCK_SKEW
    return or_(job_run.c.started > latest, job_run.c.finished > latest)


def _without_none(columns: dict[str, Any]) -> dict[str, Any]:
    """Omit columns that stay NULL: for a NULL, Microsoft's driver queries the server for its type."""
    return {name: value for name, value in columns.items() if value is not None}


def _cut(column: str, text: str) -> str:
    kind: VARCHAR = job_run.c[column].type  # type: ignore[assignment]  # both columns are VARCHAR
    return text[: kind.length]
