"""The only SQL: schemas, migrations, queries and stores on PostgreSQL."""
