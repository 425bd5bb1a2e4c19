"""The tables and queries of the peers that use SQLAlchemy's ORM, as its documentation shows them."""

import os
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import create_engine, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

SINGAPORE = timezone(timedelta(hours=8))


class Base(DeclarativeBase):
    """The tables."""


class Audit:
    """Who wrote a row, and when."""

    cre_date: Mapped[datetime]
    cre_user_id: Mapped[str]
    upd_date: Mapped[datetime | None]
    upd_user_id: Mapped[str | None]


class Notice(Audit, Base):
    """A notice."""

    __tablename__ = "ocms_valid_offence_notice"
    notice_no: Mapped[str] = mapped_column(primary_key=True)
    last_processing_stage: Mapped[str | None]
    last_processing_date: Mapped[datetime | None]
    next_processing_stage: Mapped[str | None]
    suspension_type: Mapped[str | None]
    crs_reason_of_suspension: Mapped[str | None]
    epr_reason_of_suspension: Mapped[str | None]
    payment_status: Mapped[str | None]
    amount_payable: Mapped[str | None]
    amount_paid: Mapped[str | None]
    atoms_flag: Mapped[str | None]


class Detail(Audit, Base):
    """The detail of a notice."""

    __tablename__ = "ocms_offence_notice_detail"
    notice_no: Mapped[str] = mapped_column(primary_key=True)
    emcons_flag: Mapped[str | None]
    payment_allowance_flag: Mapped[str | None]
    last_eburar_update: Mapped[str | None]
    court_payment_due_date: Mapped[datetime | None]


class CasEmcons(Audit, Base):
    """An EMCONS notice that CAS has asked for."""

    __tablename__ = "ocms_cas_emcons"
    notice_no: Mapped[str] = mapped_column(primary_key=True)
    emcons_flag: Mapped[str | None]


class CourtCase(Audit, Base):
    """A court case that PLUS has asked for."""

    __tablename__ = "ocms_court_case"
    notice_no: Mapped[str] = mapped_column(primary_key=True)
    court_payment_due_date: Mapped[datetime | None]


class Dayend(Base):
    """The day-end flag."""

    __tablename__ = "ocms_dayend"
    business_date: Mapped[str] = mapped_column(primary_key=True)
    dayend_flag: Mapped[str]


engine = create_engine(os.environ["OCMS_DATABASE_URL"])
new_session = sessionmaker(engine)


@event.listens_for(engine, "connect")
def _open(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def find(db: Session, asked: list[str]) -> dict[str, tuple[Notice, Detail | None]]:
    """Return notices with their details, by notice number."""
    joined = select(Notice, Detail).outerjoin(Detail, Detail.notice_no == Notice.notice_no)
    return {row[0].notice_no: (row[0], row[1]) for row in db.execute(joined.where(Notice.notice_no.in_(asked)))}


def upsert(db: Session, table: Any, column: str, values: dict[str, Any], user: str) -> None:
    """Record a value for each notice number that has another one or none."""
    known = {
        row.notice_no: getattr(row, column) for row in db.scalars(select(table).where(table.notice_no.in_(values)))
    }
    new = [
        {"notice_no": no, column: value, "cre_date": datetime.now(SINGAPORE).replace(tzinfo=None), "cre_user_id": user}
        for no, value in values.items()
        if known.get(no) != value
    ]
    if new:
        statement = insert(table).values(new)
        db.execute(statement.on_conflict_do_update(["notice_no"], set_={column: statement.excluded[column]}))
        db.commit()
