"""Keys, accounts and monthly quotas, in SQLite or, for several replicas, PostgreSQL. Secrets are stored as SHA-256 hashes only.

A counter is raised by one conditional UPDATE before the call and lowered when the call fails, so any number of processes and
replicas together never exceed the quota.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import AccountSuspended, KeyInvalid, QuotaExceeded, UpstreamUnavailable

# Shorter than a caller waits. libpq has no limit of its own.
CONNECT_TIMEOUT_S = 5
# The schema that this release reads and writes, and how others become it. A database without a number has the first.
SCHEMA, FIRST_SCHEMA = "0001", "0001"
MIGRATIONS = Path(__file__).with_name("migrations")
MIGRATION_LOCK = 0x7655_6C74  # of PostgreSQL: one process migrates, others wait
_KEYS = sql.table("keys", *map(sql.column, ("id", "api", "label", "identifier", "secret_hash", "state", "monthly_quota", "rate_per_s")))
_USAGE = sql.table("usage", *map(sql.column, ("key_id", "month", "calls")))
_VERSION = sql.table("alembic_version", sql.column("version_num"))


class State(enum.StrEnum):
    """State of a key. A suspended key is refused as suspended, a revoked one as unknown."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Key:
    """A stored key. `identifier` is its public part. Quota and rate: None means unlimited."""

    id: int
    api: str
    label: str
    identifier: str
    state: State
    monthly_quota: int | None
    rate_per_s: int | None


@dataclass(frozen=True, slots=True)
class Issued:
    """A new key. The secret is shown once and never stored."""

    key: Key
    secret: str


class KeyStore:
    """All operations raise UpstreamUnavailable when the database cannot be used."""

    def __init__(self, url: str) -> None:
        arguments = {"connect_timeout": CONNECT_TIMEOUT_S} if url.startswith("postgresql") else {}
        self._engine = sql.create_engine(url, pool_pre_ping=not url.startswith("sqlite"), connect_args=arguments)
        if self._engine.dialect.name == "sqlite":
            sql.event.listen(self._engine, "connect", _configure_sqlite)
        self._insert = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[self._engine.dialect.name]
        self._any = self._made = False

    def create(self, api: str, label: str, monthly_quota: int | None = None, rate_per_s: int | None = None, pair: bool = False) -> Issued:
        """Issue a key. `pair`: caller presents identifier (20 hex) and secret (40 hex); otherwise the secret alone."""
        secret = secrets.token_hex(20)
        identifier = secrets.token_hex(10) if pair else _digest(secret)[:16]
        values = {"api": api, "label": label, "identifier": identifier, "secret_hash": _digest(secret), "state": State.ACTIVE.value,
                  "monthly_quota": monthly_quota, "rate_per_s": rate_per_s}  # fmt: skip
        self._make_file()
        self._migrate()
        with self._transaction() as connection:
            number = connection.execute(_KEYS.insert().values(values).returning(_KEYS.c.id)).scalar_one()
        return Issued(Key(number, api, label, identifier, State.ACTIVE, monthly_quota, rate_per_s), secret)

    @property
    def place(self) -> str:
        """The database, without a password."""
        return self._engine.url.render_as_string()

    def any(self) -> bool:
        """Whether a key was ever issued."""
        if not self._any and self._exists():
            with self._transaction() as connection:
                self._any = connection.execute(sql.select(_KEYS.c.id).limit(1)).first() is not None
        return self._any

    def find(self, api: str, secret: str, identifier: str | None = None) -> Key:
        """The active key that was presented. Raises KeyInvalid, AccountSuspended."""
        if not self._exists():
            raise KeyInvalid
        digest = _digest(secret)
        name = identifier if identifier is not None else digest[:16]
        with self._transaction() as connection:
            row = connection.execute(sql.select(_KEYS).where(_KEYS.c.api == api, _KEYS.c.identifier == name)).first()
        # Constant-time comparison, even when no such key exists.
        right = hmac.compare_digest(row.secret_hash if row else "0" * 64, digest)
        if row is None or not right or row.state == State.REVOKED:
            raise KeyInvalid
        if row.state == State.SUSPENDED:
            raise AccountSuspended
        return _key(row)

    @contextmanager
    def counted(self, key: Key) -> Iterator[None]:
        """Count one call, unless the block raises. Raises QuotaExceeded before the block."""
        now = datetime.now(UTC)
        month = now.strftime("%Y-%m")
        self._reserve(key, month, now)
        try:
            yield
        except BaseException:
            with self._transaction() as connection:
                connection.execute(_counter(key, month).values(calls=_USAGE.c.calls - 1))
            raise

    def keys(self) -> list[Key]:
        """All keys."""
        if not self._exists():
            return []
        with self._transaction() as connection:
            return [_key(row) for row in connection.execute(sql.select(_KEYS).order_by(_KEYS.c.id))]

    def set_state(self, number: int, state: State) -> bool:
        """Change a key's state; whether there is such a key."""
        if not self._exists():
            return False
        with self._transaction() as connection:
            return connection.execute(_KEYS.update().where(_KEYS.c.id == number).values(state=state.value)).rowcount == 1

    def usage(self, number: int) -> list[tuple[str, int]]:
        """Calls by month (YYYY-MM, UTC), oldest first."""
        if not self._exists():
            return []
        query = sql.select(_USAGE.c.month, _USAGE.c.calls).where(_USAGE.c.key_id == number).order_by(_USAGE.c.month)
        with self._transaction() as connection:
            return [(row.month, row.calls) for row in connection.execute(query)]

    def _make_file(self) -> None:
        """Create the file with mode 0600. SQLite gives the same mode to its journal files."""
        url = self._engine.url
        if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
            return
        path = Path(url.database)
        try:
            for folder in reversed([folder for folder in path.parents if not folder.exists()]):
                folder.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError:
            raise UpstreamUnavailable(f"{path} cannot be written.") from None

    def _exists(self) -> bool:
        """Whether the tables are there; asking must not create a database file.

        Raises UpstreamUnavailable when they have disappeared: callers must not hear that their keys are wrong.
        """
        url = self._engine.url
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
            if self._made:
                self._engine.dispose()  # open connections would go on with a file that has no name any more
                raise UpstreamUnavailable("The key store cannot be used now.", retry_after_s=5)
            return False
        if not self._made:
            with self._transaction() as connection:
                version = _version(connection)
            if version not in (None, SCHEMA):
                self._migrate()
            self._made = version is not None
        return self._made

    def _migrate(self) -> None:
        """Bring the tables to SCHEMA, in one transaction that other processes wait for."""
        with self._transaction() as connection:
            sqlite_wanted = self._engine.dialect.name == "sqlite"
            connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite_wanted else f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            if sql.inspect(connection).has_table(_VERSION.name) and _version(connection) == SCHEMA:
                return
            from alembic import command, config, util

            settings = config.Config(attributes={"connection": connection})
            settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            try:
                command.upgrade(settings, "head")
            except util.CommandError:
                raise UpstreamUnavailable("The key store was written by a newer release.") from None

    def _reserve(self, key: Key, month: str, now: datetime) -> None:
        raised = _counter(key, month).values(calls=_USAGE.c.calls + 1)
        limited = raised if key.monthly_quota is None else raised.where(_USAGE.c.calls < key.monthly_quota)
        for _ in range(2):
            with self._transaction() as connection:
                if connection.execute(limited).rowcount == 1:
                    return
            used = dict(self.usage(key.id)).get(month)
            if used is not None:
                raise QuotaExceeded(used, key.monthly_quota or 0, retry_after_s=_seconds_left_in_month(now))
            with self._transaction() as connection:
                connection.execute(self._insert(_USAGE).values(key_id=key.id, month=month, calls=0).on_conflict_do_nothing())  # type: ignore[attr-defined]

    @contextmanager
    def _transaction(self) -> Iterator[sql.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError:
            raise UpstreamUnavailable("The key store cannot be used now.", retry_after_s=5) from None


def _version(connection: sql.Connection) -> str | None:
    """Number of the schema; None without tables."""
    tables = sql.inspect(connection)
    if tables.has_table(_VERSION.name):
        return connection.execute(sql.select(_VERSION.c.version_num)).scalar()
    return FIRST_SCHEMA if tables.has_table(_KEYS.name) else None


def _counter(key: Key, month: str) -> sql.Update:
    return _USAGE.update().where(_USAGE.c.key_id == key.id, _USAGE.c.month == month)


def _key(row: sql.Row[tuple[object, ...]]) -> Key:
    return Key(row.id, row.api, row.label, row.identifier, State(row.state), row.monthly_quota, row.rate_per_s)


def _digest(secret: str) -> str:
    """Keys are 160 random bits, so a fast hash is enough."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _seconds_left_in_month(now: datetime) -> int:
    following = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    return max(1, int((following - now).total_seconds()))


def _configure_sqlite(connection: object, _record: object) -> None:
    """Allow readers beside a writer, and make writers wait for each other."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA busy_timeout=5000")  # milliseconds; shorter than a caller waits
    cursor.close()
