"""The errors of the database. `db.driver_errors` makes them of what the drivers raise."""


class DatabaseError(Exception):
    """The database refused a statement."""

    transient: bool = False
    """Whether the unit of work may succeed if it is run again from its beginning."""


class DuplicateKeyError(DatabaseError):
    """A row with this key exists already."""


class TransactionLostError(DatabaseError):
    """The database ended the transaction by itself and rolled back all of it."""


class DatabaseUnavailableError(DatabaseError):
    """The database cannot be reached, is locked, or has no space left."""
