"""Pictures that an API has to serve later: in a folder, bounded in size and in time, or in an S3-compatible bucket."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from gateway.errors import UpstreamUnavailable
from gateway.pictures.folder import Directory
from gateway.settings import Settings


class PictureStore(Protocol):
    """Keeps PNG files by name for the deployment's keeping time."""

    def start(self) -> None:
        """In each process that serves, once."""

    def put(self, name: str, png: bytes) -> None:
        """Keep a picture. Raises UpstreamUnavailable."""

    def get(self, name: str) -> bytes | None:
        """A picture that is still kept."""


class Bucket:
    """S3-compatible. Give the bucket a lifecycle rule as well: this only refuses to show what is too old."""

    def __init__(self, bucket: str, prefix: str, endpoint: str | None, keep_s: int) -> None:
        self._bucket, self._prefix, self._endpoint, self._keep_s = bucket, prefix, endpoint, keep_s

    def start(self) -> None:
        """Nothing: the bucket deletes by itself."""

    @cached_property
    def _client(self) -> Any:
        import boto3  # the extra `s3`

        return boto3.client("s3", endpoint_url=self._endpoint)

    def put(self, name: str, png: bytes) -> None:
        """Keep a picture."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=png, ContentType="image/png")
        except Exception:  # noqa: BLE001  botocore's errors are made at run time
            raise UpstreamUnavailable("The picture store cannot be used now.", retry_after_s=5) from None

    def get(self, name: str) -> bytes | None:
        """A picture that is still kept."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except Exception:  # noqa: BLE001
            return None
        if time.time() - answer["LastModified"].timestamp() > self._keep_s:
            return None
        return bytes(answer["Body"].read())


def picture_store(settings: Settings) -> PictureStore:
    """The store that the settings name."""
    if settings.pictures_url.startswith("s3://"):
        bucket, _, prefix = settings.pictures_url.removeprefix("s3://").partition("/")
        return Bucket(bucket, prefix, settings.pictures_endpoint, settings.pictures_keep_s)
    return Directory(Path(settings.pictures_url), settings.pictures_max_bytes, settings.pictures_keep_s)
