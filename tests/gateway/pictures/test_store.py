"""Both picture stores, the bucket against a real HTTP server that speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from gateway.errors import UpstreamUnavailable
from gateway.pictures.store import PictureStore, picture_store
from gateway.settings import Settings

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


def test_a_bucket_that_is_not_there(bucket: str) -> None:
    missing = picture_store(Settings(pictures_url="s3://elsewhere/x/", pictures_endpoint=bucket))
    with pytest.raises(UpstreamUnavailable):
        missing.put("one.png", b"first")
    assert missing.get("one.png") is None
