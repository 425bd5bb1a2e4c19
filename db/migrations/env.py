"""Run the migrations on the connection that `db.migration` passes, or write them as T-SQL if it passes none."""

from alembic import context

from db.schema import VERSION_TABLE, schema_of
from db.tables import metadata

conn = context.config.attributes.get("connection")
if conn is None:
    context.configure(dialect_name="mssql", version_table=VERSION_TABLE, literal_binds=True)
else:
    context.configure(
        connection=conn,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        version_table_schema=schema_of(conn),
    )
with context.begin_transaction():
    context.run_migrations()
