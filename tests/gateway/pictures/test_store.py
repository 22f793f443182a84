"""Both picture stores, the bucket against a real HTTP server that speaks S3."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import boto3
import pytest
from moto.server import ThreadedMotoServer
from werkzeug.test import TestResponse

from gateway.app import create_app
from gateway.errors import UpstreamUnavailable
from gateway.pictures.folder import Directory
from gateway.pictures.store import PictureStore, picture_store
from gateway.settings import Settings
from tests.conftest import PICTURES, FakeTriton

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The endpoint of a server with an empty bucket named `pictures`."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_DEFAULT_REGION", "us-east-1")):
            patch.setenv(name, value)
        boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="pictures")
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["directory", "bucket"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "directory":
        return Settings(pictures_url=str(tmp_path / "pictures"))
    return Settings(pictures_url="s3://pictures/deep/folder/", pictures_endpoint=request.getfixturevalue("bucket"))


def store(settings: Settings, **changes: object) -> PictureStore:
    return picture_store(settings.model_copy(update=changes))


def test_what_was_put_is_got(settings: Settings) -> None:
    store(settings).put("one.png", b"first")
    store(settings).put("two.png", b"second")
    assert (store(settings).get("one.png"), store(settings).get("two.png"), store(settings).get("three.png")) == (b"first", b"second", None)


def test_pictures_expire(settings: Settings) -> None:
    kept = store(settings, pictures_keep_s=-1)
    kept.put("old.png", b"old")
    assert kept.get("old.png") is None


def test_pictures_expire_without_traffic(tmp_path: Path) -> None:
    """What an earlier process has left, too; what else lies there stays."""
    kept = Directory(tmp_path / "pictures", 2**20, keep_s=1)
    kept.put("old.png", b"old")
    stranger = tmp_path / "pictures" / "note.txt"
    stranger.write_bytes(b"not ours")
    Directory(tmp_path / "pictures", 2**20, keep_s=1).start()
    deadline = time.monotonic() + 20
    while list((tmp_path / "pictures").iterdir()) != [stranger]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert kept.get("old.png") is None


def test_the_oldest_pictures_go_when_there_is_no_room(tmp_path: Path) -> None:
    kept = Directory(tmp_path, 250, keep_s=3600)
    for number in range(4):
        kept.put(f"{number}.png", bytes(100))
        time.sleep(0.02)
    kept.sweep()
    assert [kept.get(f"{number}.png") is not None for number in range(4)] == [False, False, True, True]


def test_pictures_are_for_their_owner_only(tmp_path: Path) -> None:
    kept, before = Directory(tmp_path / "pictures", 2**20, keep_s=3600), os.umask(0)
    try:
        kept.put("../../one.png", b"first")
    finally:
        os.umask(before)
    (file,) = (tmp_path / "pictures").iterdir()
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o600, 0o700]
    assert list(tmp_path.iterdir()) == [file.parent]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "vultus-test", folder], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_heals(tiny: Path) -> None:
    """Nothing of a picture that does not fit stays; with room there is one again, also of pictures that are too old by then."""
    kept = Directory(tiny, 2**30, keep_s=2)
    kept.put("first.png", bytes(150_000))
    (tiny / "filler").write_bytes(bytes(60_000))
    with pytest.raises(UpstreamUnavailable):
        kept.put("second.png", bytes(100_000))
    assert len(list(tiny.iterdir())) == 2
    assert kept.get("first.png") == bytes(150_000)
    time.sleep(2)
    kept.put("second.png", bytes(100_000))
    assert kept.get("second.png") == bytes(100_000)


def test_a_full_disk_is_an_error_that_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, where nothing may be mounted: in the words of the API, and over when there is room."""
    app = create_app(Settings(pictures_url=str(tmp_path / "p"), keys_url=f"sqlite:///{tmp_path}/k", decode_processes=0), FakeTriton())  # type: ignore[arg-type]

    def upload() -> TestResponse:
        file = ((PICTURES / "astronaut.jpg").open("rb"), "a.jpg")
        return app.test_client().post("/images/face-analysis/upload", data={"file": file})

    with monkeypatch.context() as patch:
        patch.setattr("os.utime", Mock(side_effect=OSError(errno.ENOSPC, "full")))
        answer = upload()
        assert (answer.status_code, (answer.json or {})["code"], answer.headers["Retry-After"]) == (503, "SERVICE_UNAVAILABLE", "5")
        assert list((tmp_path / "p").iterdir()) == []
    answer = upload()
    assert answer.status_code == 200
    address = (answer.json or {})["result"]
    assert app.test_client().get(address).data.startswith(b"\x89PNG")


def test_a_bucket_that_is_not_there(bucket: str) -> None:
    missing = picture_store(Settings(pictures_url="s3://elsewhere/x/", pictures_endpoint=bucket))
    with pytest.raises(UpstreamUnavailable):
        missing.put("one.png", b"first")
    assert missing.get("one.png") is None
