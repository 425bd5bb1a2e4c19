"""The database: tables, engine, migrations, and one module of queries for each aggregate. All SQL is in this room."""
