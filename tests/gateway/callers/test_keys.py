from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sql
from alembic import config, script
from click.testing import CliRunner

from gateway.callers import admission, keys
from gateway.callers.admission import Admission, Credentials
from gateway.callers.keys import Issued, KeyStore, State, _seconds_left_in_month
from gateway.commands.main import main
from gateway.errors import (
    AccountSuspended,
    DownloadFailed,
    GatewayError,
    KeyInvalid,
    NoFace,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    UndecodableImage,
    UpstreamUnavailable,
)
from gateway.server import gunicorn_config
from gateway.settings import Settings


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'keys.sqlite'}"


def call_often(url: str, secret: str, calls: int) -> int:
    store, done = KeyStore(url), 0
    key = store.find("arsa", secret)
    for _ in range(calls):
        try:
            with store.counted(key):
                done += 1
        except QuotaExceeded:
            pass
    return done


def test_quota_is_exact_across_processes(url: str) -> None:
    issued = KeyStore(url).create("arsa", "many", monthly_quota=100)
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        done = pool.starmap(call_often, [(url, issued.secret, 50)] * 8)
    assert sum(done) == 100
    assert KeyStore(url).usage(issued.key.id) == [(datetime.now(UTC).strftime("%Y-%m"), 100)]


def test_a_failed_call_is_given_back(url: str) -> None:
    store = KeyStore(url)
    key = store.create("arsa", "one", monthly_quota=1).key
    with pytest.raises(RuntimeError), store.counted(key):
        raise RuntimeError
    with store.counted(key):
        pass
    with pytest.raises(QuotaExceeded) as refused, store.counted(key):
        pass
    assert (refused.value.used, refused.value.limit) == (1, 1)
    assert 0 < (refused.value.retry_after_s or 0) <= 31 * 86400


def test_secrets_are_not_stored(url: str, tmp_path: Path) -> None:
    store = KeyStore(url)
    secret = store.create("arsa", "x").secret
    store._engine.dispose()
    assert all(secret.encode() not in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("answers", [False, True], ids=["nobody there", "silent"])
def test_a_lost_redis_is_no_defect_of_ours(url: str, answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys without a rate go on."""
    monkeypatch.setitem(admission.REDIS_TIMEOUTS, "socket_timeout", 0.2)
    store = KeyStore(url)
    limited, free = store.create("vultus", "limited", rate_per_s=5), store.create("vultus", "free")
    with socket.socket() as redis:
        redis.bind(("127.0.0.1", 0))
        if answers:
            redis.listen()  # connections are made, and nothing is ever said
        asked = Admission(store, True, f"redis://127.0.0.1:{redis.getsockname()[1]}", 60)
        with pytest.raises(UpstreamUnavailable, match="rates") as refused:
            asked.check("vultus", Credentials(limited.secret))
        assert refused.value.retry_after_s
        assert asked.check("vultus", Credentials(free.secret))


def test_finding(url: str) -> None:
    store = KeyStore(url)
    assert not store.any()
    with pytest.raises(KeyInvalid):
        store.find("arsa", "anything")
    single, pair = store.create("arsa", "a"), store.create("coqnitics", "b", pair=True)
    assert store.any()
    assert store.find("arsa", single.secret) == single.key
    assert (len(pair.key.identifier), len(pair.secret)) == (20, 40)
    assert store.find("coqnitics", pair.secret, pair.key.identifier) == pair.key
    for api, secret, identifier in (
        ("arsa", pair.secret, None),
        ("coqnitics", single.secret, pair.key.identifier),
        ("arsa", "\udcff", None),
    ):
        with pytest.raises(KeyInvalid):
            store.find(api, secret, identifier)
    store.set_state(single.key.id, State.SUSPENDED)
    with pytest.raises(AccountSuspended):
        store.find("arsa", single.secret)


def test_asking_creates_no_database(url: str, tmp_path: Path) -> None:
    store = KeyStore(url)
    assert (store.any(), store.keys(), store.usage(1), store.set_state(1, State.REVOKED)) == (False, [], [], False)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "broken.sqlite"
    path.write_bytes(b"this is no database, however one reads it" * 100)
    with pytest.raises(UpstreamUnavailable):
        KeyStore(f"sqlite:///{path}").any()


def test_months_end_in_december_too() -> None:
    assert _seconds_left_in_month(datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC)) == 30
    assert _seconds_left_in_month(datetime(2026, 2, 28, 0, 0, 0, tzinfo=UTC)) == 86400


def test_command_line(url: str) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["keys", "--keys-url", url, *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    secret = run("create", "arsa", "shop", "--quota", "100", "--rate", "5").split()[-1]
    _, identifier, pair_secret = run("create", "coqnitics", "lab").split()[1::2]
    store = KeyStore(url)
    assert store.find("arsa", secret).monthly_quota == 100
    key = store.find("coqnitics", pair_secret, identifier)
    assert "shop" in run("list")
    assert secret not in run("list")
    run("suspend", str(key.id))
    with pytest.raises(AccountSuspended):
        store.find("coqnitics", pair_secret, identifier)
    run("resume", str(key.id))
    with store.counted(store.find("coqnitics", pair_secret, identifier)):
        pass
    assert run("usage", str(key.id)).split()[-1] == "1"
    run("revoke", str(key.id))
    with pytest.raises(KeyInvalid):
        store.find("coqnitics", pair_secret, identifier)
    assert CliRunner().invoke(main, ["keys", "--keys-url", url, "revoke", "99"]).exit_code == 1


def test_a_database_that_goes_away_is_no_reason_to_call_keys_wrong(tmp_path: Path) -> None:
    file = tmp_path / "keys.sqlite"
    store = KeyStore(f"sqlite:///{file}")
    issued = store.create("arsa", "test")
    assert store.find("arsa", issued.secret).id == issued.key.id
    backup = tmp_path / "backup.sqlite"
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    for path in tmp_path.glob("keys.sqlite*"):
        path.unlink()
    with pytest.raises(UpstreamUnavailable):
        store.find("arsa", issued.secret)
    assert not file.exists()
    backup.replace(file)
    assert store.find("arsa", issued.secret).id == issued.key.id


def test_a_clock_that_goes_back_locks_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = KeyStore(f"sqlite:///{tmp_path / 'keys.sqlite'}")
    issued = store.create("arsa", "test", rate_per_s=2)
    admission = Admission(store, None, "memory://", 60)
    real, offset_s = time.time, [3600.0]
    monkeypatch.setattr(time, "time", lambda: real() + offset_s[0])
    for _ in range(2):
        admission.check("arsa", Credentials(issued.secret))
    with pytest.raises(RateLimited):
        admission.check("arsa", Credentials(issued.secret))
    offset_s[0] = 0.0
    assert admission.check("arsa", Credentials(issued.secret)) == issued.key


@pytest.mark.parametrize("issued", [True, False])
def test_workers_that_start_later_stay_closed(url: str, monkeypatch: pytest.MonkeyPatch, issued: bool) -> None:
    """A worker may start while the database is away; it must not take that for a deployment without keys."""
    monkeypatch.setenv("VULTUS_KEYS_URL", url)
    monkeypatch.setenv("VULTUS_REQUIRE_KEYS", "")
    monkeypatch.delenv("VULTUS_REQUIRE_KEYS")
    if issued:
        KeyStore(url).create("arsa", "test")
    gunicorn_config.on_starting(SimpleNamespace(cfg=SimpleNamespace(address=[("127.0.0.1", 8080)])))
    assert Settings().require_keys is (True if issued else None)


OLD_TABLES = """
CREATE TABLE keys (id INTEGER NOT NULL PRIMARY KEY, api VARCHAR(32) NOT NULL, label VARCHAR(128) NOT NULL, identifier VARCHAR(64) NOT NULL,
    secret_hash VARCHAR(64) NOT NULL, state VARCHAR(16) NOT NULL, monthly_quota INTEGER, rate_per_s INTEGER, UNIQUE (api, identifier));
CREATE TABLE usage (key_id INTEGER NOT NULL, month VARCHAR(7) NOT NULL, calls INTEGER NOT NULL, PRIMARY KEY (key_id, month),
    FOREIGN KEY(key_id) REFERENCES keys (id));
INSERT INTO keys VALUES (1, 'arsa', 'old', 'f8ee85f59a75fdb3',
    'f8ee85f59a75fdb3a3fbf0941423f26a65a8ed0a5f6d7ff832acd8edf5635499', 'active', 9, NULL);
INSERT INTO usage VALUES (1, '2026-01', 5);
"""
NEXT = """
import sqlalchemy as sql
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.add_column("keys", sql.Column("note", sql.String(64)))
"""


def columns(store: KeyStore) -> set[str]:
    return {column["name"] for column in sql.inspect(store._engine).get_columns("keys")}


def with_a_next_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(keys.MIGRATIONS, tmp_path / "migrations")
    (tmp_path / "migrations" / "versions" / "0002_note.py").write_text(NEXT)
    monkeypatch.setattr(keys, "MIGRATIONS", tmp_path / "migrations")
    monkeypatch.setattr(keys, "SCHEMA", "0002")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of this test's own, on a free port of the loopback."""
    if not shutil.which("initdb") or not shutil.which("postgres"):
        pytest.skip("no PostgreSQL here")
    folder = tmp_path_factory.mktemp("postgres")
    user = "nobody" if os.getuid() == 0 else None  # it does not run as root
    if user:
        shutil.chown(folder, user)
        folder.parent.chmod(0o755)
        folder.parents[1].chmod(0o755)
    made = subprocess.run(["initdb", "-D", folder / "data", "-U", "test", "-A", "trust", "-N"], capture_output=True, cwd=folder, user=user)
    if made.returncode:
        pytest.skip(f"no PostgreSQL here: {made.stderr!r}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
    server = subprocess.Popen(["postgres", "-D", folder / "data", *options], cwd=folder, stderr=subprocess.DEVNULL, user=user)
    try:
        url = f"postgresql+psycopg://test@127.0.0.1:{port}/postgres"
        while server.poll() is None:
            with suppress(sql.exc.OperationalError):
                reached = sql.create_engine(url, poolclass=sql.NullPool)
                reached.connect().close()
                break
            time.sleep(0.2)
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database of each kind that is served. Connections are closed after each use."""
    if request.param == "sqlite":
        return url
    place: str = request.getfixturevalue("postgres")
    create = sql.create_engine
    monkeypatch.setattr(sql, "create_engine", lambda url, **options: create(url, poolclass=sql.NullPool))
    with sql.create_engine(place).begin() as connection:
        for table in ("usage", "keys", "alembic_version"):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    return place


def write_old(database: str) -> None:
    with sql.create_engine(database).begin() as connection:
        for statement in OLD_TABLES.split(";")[:-1]:
            connection.exec_driver_sql(statement)


def test_the_schema_is_the_last_migration() -> None:
    settings = config.Config()
    settings.set_main_option("script_location", str(keys.MIGRATIONS))
    assert script.ScriptDirectory.from_config(settings).get_current_head() == keys.SCHEMA


def test_an_old_database_goes_on(database: str) -> None:
    """As releases before the first version number left it."""
    write_old(database)
    store = KeyStore(database)
    key = store.find("arsa", "old secret")
    assert store.usage(key.id) == [("2026-01", 5)]
    with store.counted(key):
        pass
    if database.startswith("postgresql"):  # whose sequence knows nothing of the row that was put in by hand
        return
    store.create("arsa", "new")
    labels = [key.label for key in store.keys()]  # noqa: SIM118
    assert labels == ["old", "new"]


@pytest.mark.parametrize("old", [True, False], ids=["without number", "first schema"])
def test_the_next_release_migrates_when_it_is_first_asked(
    database: str, old: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = None
    if old:
        write_old(database)
    else:
        issued = KeyStore(database).create("arsa", "x", monthly_quota=3)
    with_a_next_schema(tmp_path, monkeypatch)
    stores = [KeyStore(database) for _ in range(4)]
    with ThreadPoolExecutor(4) as workers:
        assert list(workers.map(KeyStore.any, stores)) == [True] * 4
    assert "note" in columns(stores[0])
    assert stores[1].find("arsa", issued.secret if issued else "old secret").monthly_quota == (3 if issued else 9)


def test_a_database_of_a_newer_release_is_left_alone(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        with_a_next_schema(tmp_path, newer)
        KeyStore(database).create("arsa", "x")
    with pytest.raises(UpstreamUnavailable, match="newer release"):
        KeyStore(database).any()


def test_the_time_of_failed_calls_is_limited(url: str) -> None:
    """They cost no quota. What is answered, or is our fault, costs none of it; other keys have their own."""
    store = KeyStore(url)
    wasteful, other = store.create("vultus", "wasteful"), store.create("vultus", "other")
    admission = Admission(store, None, "memory://", failed_s=0.4)

    def call(issued: Issued, outcome: GatewayError | None, took_s: float) -> None:
        with suppress(*([type(outcome)] if outcome else [])), admission.admitted("vultus", Credentials(issued.secret)):
            time.sleep(took_s)
            if outcome:
                raise outcome

    for outcome in (NoFace(), None, Overloaded(retry_after_s=1)):
        call(wasteful, outcome, 0.3)
    call(wasteful, UndecodableImage(), 0.01)
    call(wasteful, DownloadFailed(), 0.4)
    with pytest.raises(RateLimited) as refused:
        call(wasteful, None, 0)
    assert 1 <= (refused.value.retry_after_s or 0) <= 61
    call(other, None, 0)
