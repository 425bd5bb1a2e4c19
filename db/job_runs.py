"""The runs of jobs, `ocms_job_run`."""

from datetime import datetime
from typing import Any

from sqlalchemy import VARCHAR, Connection, insert, select, update

from db.tables import job_run

DETAIL: VARCHAR = job_run.c.detail.type  # type: ignore[assignment]  # as `db.tables` says
RUNNING, SUCCEEDED, FAILED = "running", "succeeded", "failed"
ABANDONED = "the process ended in the middle of it; nothing was replaced"
"""The detail of a run that never ended by itself. Its list is the old one: the end is written with the replacement."""


def insert_run(conn: Connection, job: str, started: datetime) -> int:
    """Record that a job has started; return the run's number."""
    result = conn.execute(insert(job_run).values(job=job, started=started, outcome=RUNNING))
    return int(result.inserted_primary_key[0])  # type: ignore[index]  # an insert of one row has a key


def close_abandoned_runs(conn: Connection, job: str, now: datetime) -> int:
    """Record the runs of a job that never ended as failed; return how many. Only the holder of the job's lock may."""
    told = {"finished": now, "outcome": FAILED, "detail": ABANDONED}
    abandoned = update(job_run).where(job_run.c.job == job, job_run.c.outcome == RUNNING)
    return conn.execute(abandoned.values(told)).rowcount


def finish_run(  # noqa: PLR0913  # the columns of a finished run
    conn: Connection, run_id: int, finished: datetime, outcome: str, *, rows: int | None = None, detail: str = ""
) -> None:
    """Record how a run has ended. The detail is cut to the length of its column."""
    told = {"finished": finished, "outcome": outcome, "detail": detail[: DETAIL.length]}
    counted = {} if rows is None else {"rows": rows}
    conn.execute(update(job_run).where(job_run.c.run_id == run_id).values(told | counted))


def list_runs(conn: Connection, limit: int) -> list[dict[str, Any]]:
    """Return the last runs, the newest first."""
    statement = select(job_run).order_by(job_run.c.run_id.desc()).limit(limit)
    return [dict(row) for row in conn.execute(statement).mappings()]
