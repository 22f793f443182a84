"""Run by Alembic, on the connection of `KeyStore`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
