"""Keys and their usage. Databases that are older than their first version number have these tables already."""

import sqlalchemy as sql
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    """Make the tables where they are missing."""
    op.create_table(
        "keys",
        sql.Column("id", sql.Integer, primary_key=True),
        sql.Column("api", sql.String(32), nullable=False),
        sql.Column("label", sql.String(128), nullable=False),
        sql.Column("identifier", sql.String(64), nullable=False),
        sql.Column("secret_hash", sql.String(64), nullable=False),
        sql.Column("state", sql.String(16), nullable=False),
        sql.Column("monthly_quota", sql.Integer),
        sql.Column("rate_per_s", sql.Integer),
        sql.UniqueConstraint("api", "identifier"),
        if_not_exists=True,
    )
    op.create_table(
        "usage",
        sql.Column("key_id", sql.Integer, sql.ForeignKey("keys.id"), primary_key=True),
        sql.Column("month", sql.String(7), primary_key=True),
        sql.Column("calls", sql.Integer, nullable=False),
        if_not_exists=True,
    )
