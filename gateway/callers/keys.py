"""Keys, accounts and monthly quotas, in SQLite or, for several replicas, PostgreSQL. Secrets are stored as SHA-256 hashes only.

A counter is raised by one conditional UPDATE before the call and lowered when the call fails, so any number of processes and
replicas together never let more calls through than the quota.
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

# Less than a caller waits; libpq would wait for ever.
CONNECT_TIMEOUT_S = 5
_TABLES = sql.MetaData()
_KEYS = sql.Table(
    "keys",
    _TABLES,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("api", sql.String(32), nullable=False),
    sql.Column("label", sql.String(128), nullable=False),
    sql.Column("identifier", sql.String(64), nullable=False),
    sql.Column("secret_hash", sql.String(64), nullable=False),
    sql.Column("state", sql.String(16), nullable=False),
    sql.Column("monthly_quota", sql.Integer),
    sql.Column("rate_per_s", sql.Integer),
    sql.UniqueConstraint("api", "identifier"),
)
_USAGE = sql.Table(
    "usage",
    _TABLES,
    sql.Column("key_id", sql.ForeignKey("keys.id"), primary_key=True),
    sql.Column("month", sql.String(7), primary_key=True),
    sql.Column("calls", sql.Integer, nullable=False),
)


class State(enum.StrEnum):
    """Of a key. A suspended key is known and refused, a revoked one is as if it had never been."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key. `identifier` is its public part; quota and rate None: unlimited."""

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
        with self._transaction() as connection:
            _TABLES.create_all(connection, checkfirst=True)
            number = connection.execute(_KEYS.insert().values(values)).inserted_primary_key
        assert number is not None  # noqa: S101
        return Issued(Key(number[0], api, label, identifier, State.ACTIVE, monthly_quota, rate_per_s), secret)

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
        # Compared in constant time, also when there is no such key.
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
        """For this user only; SQLite gives the files beside it the same rights."""
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

        Raises UpstreamUnavailable when they were there and are not now: callers must not be told that their keys are wrong.
        """
        url = self._engine.url
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
            if self._made:
                self._engine.dispose()  # open connections would go on with a file that has no name any more
                raise UpstreamUnavailable("The key store cannot be used now.", retry_after_s=5)
            return False
        if not self._made:
            with self._transaction() as connection:
                self._made = sql.inspect(connection).has_table(_KEYS.name)
        return self._made

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
    """Readers beside a writer, writers that wait for each other, and transactions that SQLAlchemy begins."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA busy_timeout=5000")  # milliseconds; less than a caller's patience
    cursor.close()
