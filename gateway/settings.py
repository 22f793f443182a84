"""Every setting of the gateway, in one frozen object built once by `create_app`."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, FilePath, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url

CLONE = Path(__file__).resolve().parent.parent
REPOSITORY = CLONE / "model_repository"
# Not the current folder: every command of a deployment finds the same keys, wherever it is started. Installed without a clone: the user's.
DATA = CLONE / "vultus-data" if (CLONE / "pyproject.toml").exists() else Path(os.path.expanduser("~/.local/share/vultus"))
# The repository that `vultus models use` composed, in DATA: a link to the folder of the choice in force (scripts/slots/store.py).
COMPOSED = Path("models") / "current"
KEYS, OLD_KEYS = "sqlite:///keys.sqlite", CLONE / "vultus-keys.sqlite"  # the latter where they were before there was DATA: they stay needed
PREFIX = "VULTUS_"
# Variables with the prefix that are no settings: of the client, then of scripts/ and the tests.
CLIENT = ("URL", "KEY")
SCRIPTS = (
    *("DEVICE", "ORT_THREADS", "VENV", "KEEP_CWD", "TRITON_LAYOUT", "CONCEALED", "CHAOS_CLOCK", "FUZZ_EXAMPLES", "TEST_FOLDER"),
    *("TEACHERS", "CLONES", "MANIFESTS", "SWITCHES", "CONFORMANCE"),
)
# Variables that Kubernetes sets for a Service named vultus.
SERVICE_LINK = re.compile(r"VULTUS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")


def repository_in_force(known: Mapping[str, Any]) -> Path:
    """The composed model repository of this deployment where there is one, else the built-in one. `known`: the setting `data`.

    The link is followed here, once: a process that was started with a choice keeps it.
    """
    composed = Path(known.get("data", DATA)) / COMPOSED
    return composed.resolve() if composed.exists() else REPOSITORY


class Settings(BaseSettings):
    """Read from `VULTUS_<NAME>` environment variables unless given. A variable of that prefix that is no setting is refused."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=True)

    triton: str = Field("127.0.0.1:8001", description="gRPC target of Triton: HOST:PORT, or dns:///NAME:PORT for several.")
    triton_secret: SecretStr = Field(
        SecretStr(""), description="Sent to Triton in the header triton-grpc-protocol-vultus, which opens protocols that it restricts."
    )
    triton_tls: bool = Field(False, description="Whether calls of Triton go by TLS.")
    triton_tls_authority: FilePath | None = Field(
        None, description="PEM file of the authorities that may have signed Triton's certificate; unset: the public ones."
    )
    triton_tls_certificate: FilePath | None = Field(None, description="PEM file of the gateway's own certificate, for a Triton that asks.")
    triton_tls_key: FilePath | None = Field(None, description="PEM file of the key to that certificate.")
    deadline_s: float = Field(
        9.0,
        gt=0,
        description="Longest time from a request's last byte to its answer, seconds; X-Timeout-Seconds asks for less.",
    )
    upload_s: float = Field(30.0, gt=0, description="Longest time that a request's body may take to arrive, seconds.")
    max_in_flight: int = Field(16, gt=0, description="Requests that one process decodes and analyses at once.")
    max_present: int = Field(24, gt=0, description="Requests in one process, those that upload or wait included; more are refused at once.")
    max_wait_s: float = Field(0.02, ge=0, description="Longest wait for one of the places at work, seconds; then 503.")
    drain_notice_s: float = Field(2.0, ge=0, description="How long a stopping gateway says that it is not ready while it still answers.")
    shared_memory: bool = Field(True, description="Hand pixels to a Triton on this machine's loopback in shared memory, where that works.")
    cancel_at_triton: bool = Field(
        False,
        description="Cancel the calls of clients that disconnected: only at a Triton newer than the embedded one, which may crash.",
    )
    data: Path = Field(DATA, description="Folder of this deployment's keys, pictures and added models; relative places below are in it.")
    model_repository: Path = Field(
        default_factory=repository_in_force,
        description="Where model.toml and config.pbtxt of every model lie; unset: what `vultus models use` composed, or the built-in.",
    )
    max_body_bytes: int = Field(28 * 2**20, gt=0, description="Largest request body that is read, bytes (base64 of the largest image).")
    max_image_bytes: int = Field(20 * 2**20, gt=0, description="Largest image file, bytes.")
    max_image_pixels: int = Field(
        65_000_000, gt=0, description="Largest image that is decoded, pixels, from its header (64 MP phones fit)."
    )
    max_image_side_px: int = Field(16_384, gt=0, description="Longest image side that is decoded, pixels, from its header.")
    min_image_side_px: int = Field(16, gt=0, description="Shortest image side that can show a face, pixels.")
    working_side_px: int = Field(
        1_600,
        gt=0,
        description="Pictures are reduced to 1/2, 1/4 or 1/8 while their longer side stays at least this, pixels; JPEGs are decoded so.",
    )
    tiled_side_px: int = Field(3_200, gt=0, description="The same for pictures in which /v1 is asked for small faces (`min_face_px`).")
    max_tiles: int = Field(
        16,
        ge=0,
        description="Most tiles of one picture in which /v1 looks for small faces (`min_face_px`); each costs as much as a picture.",
    )
    decode_processes: int = Field(
        2, ge=0, description="Decoders of images per gateway process; 0: decode in the gateway itself, without limits of time and memory."
    )
    decode_cpu_s: float = Field(5.0, gt=0, description="Most CPU time for decoding an image, seconds.")
    decode_memory_bytes: int = Field(1536 * 2**20, gt=0, description="Most memory for decoding an image, bytes.")
    keys_url: str = Field(KEYS, description="Database of keys and their usage, an SQLAlchemy URL.")
    require_keys: bool | None = Field(None, description="Whether callers need a key; unset: as soon as one key exists.")
    insecure_open: bool = Field(False, description="Whether others than this machine are served although nobody needs a key.")
    rate_storage_url: str = Field("memory://", description="Where call rates are counted: memory:// (per process) or a Redis URL.")
    failed_s: float = Field(
        60.0, gt=0, description="Time that calls of one key that fail by the caller's fault may take in a minute, seconds; then 429."
    )
    cors_origins: str = Field(
        "", description="Origins (https://HOST, with commas between them; or *) whose web pages may call /v1; empty: none."
    )
    fetch_urls: bool = Field(False, description="Whether images may be given by URL.")
    fetch_timeout_s: float = Field(5.0, gt=0, description="Longest time a download may take, seconds.")
    fetches_per_key: int = Field(4, gt=0, description="Calls of one key in one process that may fetch images at once; then 429.")
    max_fetches: int = Field(12, gt=0, description="Calls of all keys in one process that may fetch images at once; then 503.")
    fetch_ports: tuple[int, ...] = Field((80, 443), description="Ports that are fetched from.")
    fetch_networks: tuple[str, ...] = Field((), description="Networks (CIDR) that may be fetched from although they are not public.")
    pictures_url: str = Field("pictures", description="Drawn pictures that are served later: a folder, or s3://BUCKET/PREFIX.")
    pictures_endpoint: str | None = Field(None, description="Endpoint of an S3-compatible store other than AWS.")
    pictures_max_bytes: int = Field(2**30, gt=0, description="Size of the folder of pictures, bytes; the oldest go first.")
    pictures_keep_s: int = Field(24 * 3600, gt=0, description="How long a drawn picture is kept, seconds.")
    public_url: str = Field(
        "", description="Address under which callers reach this service, for links; empty: each request's Host. Set it where others call."
    )
    deliver_prefix: str = Field("", description="Put before the address of a drawn picture, for a CDN.")
    trace_endpoint: str = Field("", description="OTLP/HTTP address that traces go to, http://HOST:4318/v1/traces; empty: nowhere.")
    log_level: str = Field("INFO", description="Level of the log on standard error: one JSON line per request.")

    @model_validator(mode="before")
    @classmethod
    def _no_misspelt_variable(cls, given: Any) -> Any:
        known = [f"{PREFIX}{name.upper()}" for name in (*cls.model_fields, *CLIENT, *SCRIPTS)]
        for name in map(str.upper, os.environ):
            if name.startswith(PREFIX) and name not in known and not SERVICE_LINK.fullmatch(name):
                near = difflib.get_close_matches(name, known, 1)
                raise ValueError(f"{name} is no setting{f'; is {near[0]} meant?' if near else '.'}")
        return given

    @field_validator("data")
    @classmethod
    def _absolute(cls, data: Path) -> Path:
        return data.absolute()

    @field_validator("keys_url")
    @classmethod
    def _keys_in_data(cls, url: str, info: ValidationInfo) -> str:
        where = make_url(url)
        if where.get_backend_name() != "sqlite" or not where.database or where.database.startswith((":memory:", "file:")):
            return url
        path = info.data["data"] / where.database
        if url == KEYS and OLD_KEYS.exists() and not path.exists():
            path = OLD_KEYS
        return where.set(database=str(path)).render_as_string(hide_password=False)

    @field_validator("pictures_url")
    @classmethod
    def _pictures_in_data(cls, url: str, info: ValidationInfo) -> str:
        return url if url.startswith("s3://") else str(info.data["data"] / url)

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        files = (self.triton_tls_authority, self.triton_tls_certificate, self.triton_tls_key)
        if any(files) and not self.triton_tls:
            raise ValueError("files for TLS to Triton are named, but triton_tls is not set: calls would go in the clear")
        if (self.triton_tls_certificate is None) != (self.triton_tls_key is None):
            raise ValueError("triton_tls_certificate and triton_tls_key belong together")
        return self
