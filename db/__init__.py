"""The database: tables, engine, migrations, and one module of queries for each aggregate. The only place with SQL."""
