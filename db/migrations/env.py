"""Where Alembic finds the tables and the database: `db.migrate` passes a connection, the alembic command an address."""

from alembic import context
from sqlalchemy import Connection

from db.connections import PATIENT
from db.engine import Catalogue, database_url_from_environment
from db.tables import Base


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with Catalogue(database_url_from_environment(), pool_size=1, limits=PATIENT).engine.connect() as own:
        _run(own)
