"""TLS to Triton, against a real gRPC server that asks for a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
import trustme
from pydantic import ValidationError

from gateway.apis.services import KEY
from gateway.app import create_app
from gateway.errors import UpstreamUnavailable
from gateway.inference.tls import Tls
from gateway.inference.triton import TritonClient
from gateway.models import GEOMETRY
from gateway.settings import Settings
from tests.grpc_server import Scripted, serving

PICTURE = np.zeros((48, 64, 3), np.uint8)
DEADLINE_S = 3.0


@dataclass
class Files:
    """An authority, a certificate that it signed for a gateway, and that of a stranger, as PEM files."""

    authority: Path
    certificate: Path
    key: Path
    strange_authority: Path
    address: str

    @property
    def right(self) -> Tls:
        return Tls(self.authority, self.certificate, self.key)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    folder, authority, stranger = tmp_path_factory.mktemp("pem"), trustme.CA(), trustme.CA()
    server, gateway = authority.issue_cert("localhost"), authority.issue_cert("gateway.vultus")
    paths = folder / "ca.pem", folder / "gateway.pem", folder / "gateway.key", folder / "stranger.pem"
    contents = (authority.cert_pem, gateway.cert_chain_pems[0], gateway.private_key_pem, stranger.cert_pem)
    for path, content in zip(paths, contents, strict=True):
        content.write_to_path(path)
    pair = (server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes())
    asks = grpc.ssl_server_credentials([pair], authority.cert_pem.bytes(), require_client_auth=True)
    with serving(Scripted(), credentials=asks) as (_, port):
        yield Files(*paths, address=f"localhost:{port}")


def test_who_has_a_certificate_of_the_authority_is_answered(files: Files) -> None:
    assert set(TritonClient(files.address, DEADLINE_S, tls=files.right).infer(PICTURE, GEOMETRY)) == set(GEOMETRY)


@pytest.mark.parametrize("who", ["nobody", "in the clear", "fooled"])
def test_nobody_else_is_and_a_false_server_gets_no_picture(files: Files, who: str) -> None:
    tls = {"nobody": Tls(files.authority), "in the clear": None, "fooled": Tls(files.strange_authority, files.certificate, files.key)}[who]
    with pytest.raises(UpstreamUnavailable):
        TritonClient(files.address, DEADLINE_S, tls=tls).infer(PICTURE, GEOMETRY)


def settings(files: Files, folder: Path, **more: object) -> Settings:
    given: dict[str, object] = {"triton": files.address, "deadline_s": DEADLINE_S, "keys_url": f"sqlite:///{folder / 'keys'}"}
    return Settings.model_validate({**given, "decode_processes": 0, "pictures_url": str(folder), **more})


def test_the_gateway_takes_it_from_its_settings(files: Files, tmp_path: Path) -> None:
    more = {"triton_tls_authority": files.authority, "triton_tls_certificate": files.certificate, "triton_tls_key": files.key}
    application = create_app(settings(files, tmp_path, triton_tls=True, **more))
    assert application.extensions[KEY].triton.is_ready(DEADLINE_S)
    assert not create_app(settings(files, tmp_path)).extensions[KEY].triton.is_ready(DEADLINE_S)


def test_half_a_setting_is_refused(files: Files, tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, object], str]] = [
        ({"triton_tls_authority": files.authority}, "in the clear"),
        ({"triton_tls": True, "triton_tls_key": files.key}, "belong together"),
        ({"triton_tls": True, "triton_tls_authority": tmp_path / "none.pem"}, "does not point to a file"),
    ]
    for more, said in wrong:
        with pytest.raises(ValidationError, match=said):
            settings(files, tmp_path, **more)
