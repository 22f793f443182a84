"""What SECURITY.md says, tried."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as grpc
import trustme
from tritonclient.utils import InferenceServerException

from scripts.embedded_triton.layout import build
from scripts.locks import LOCKS
from tests.docker.conftest import Running, free_port, wait_until
from tests.docker.image import Image
from tests.served import ROOT

PAGE = (ROOT / "SECURITY.md").read_text()


def blocks() -> list[str]:
    """The page's commands."""
    return re.findall(r"^```\n(.*?)^```", PAGE, re.S | re.M)


def test_options_of_the_page_exist(triton_help: str) -> None:
    known = set(re.findall(r"^\s+(--[a-z-]+)", triton_help, re.M))
    options = set(re.findall(r"(--(?:grpc|http|model)-[a-z-]+)", PAGE))
    assert "--grpc-use-ssl-mutual" in options
    assert options <= known


def test_nothing_is_reported_to_the_maker_of_the_runtime(tmp_path: Path) -> None:
    assert build(tmp_path).environment["ORT_DISABLE_TELEMETRY"] == "1"
    assert "export ORT_DISABLE_TELEMETRY=1" in (ROOT / "docker" / "triton" / "start").read_text()


def test_the_bills_of_materials_name_every_pin(tmp_path: Path) -> None:
    (command,) = [line for block in blocks() for line in block.splitlines() if "scripts.bills" in line]
    program, *words, folder = shlex.split(command)
    assert (program, folder) == ("python", "bills")
    subprocess.run([sys.executable, *words, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    for image in ("gateway", "triton"):
        bill = json.loads((tmp_path / f"{image}.cdx.json").read_text())
        named = {(part["name"], part["version"]) for part in bill["components"]}
        (lock,) = [lock for lock in LOCKS if lock.path == ROOT / "docker" / image / "requirements.txt"]
        assert named == {(pin.name, next(iter(pin.specifier)).version) for pin in lock.pins()}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def guarded(triton_image: Image, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Triton that asks its gRPC clients for a certificate, started with the page's own options. Its address."""
    folder = tmp_path_factory.mktemp("certificates")
    server = authority.issue_cert("localhost")
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    authority.cert_pem.write_to_path(folder / "clients.pem")
    (said,) = [block for block in blocks() if "--grpc-use-ssl-mutual" in block]
    options = [word.replace("/certificates", str(folder)) for word in said.replace("\\", " ").split()]
    ports = {name: free_port() for name in ("grpc", "http", "metrics")}
    more = [f"--{name}-{key}" for name, port in ports.items() for key in (f"port={port}", "address=127.0.0.1")]
    running = Running(triton_image.start(*options, *more))
    try:
        wait_until(lambda: triton_image.healthy(port=ports["metrics"]), running)
        yield f"localhost:{ports['grpc']}"
    finally:
        running.stop()


def ready(address: str, trusted: trustme.CA | None, identity: trustme.LeafCert | None, folder: Path) -> bool:
    """Whether a client that trusts `trusted` and shows `identity` gets an answer."""
    files: dict[str, str] = {}
    if trusted:
        trusted.cert_pem.write_to_path(folder / "ca.pem")
        files["root_certificates"] = str(folder / "ca.pem")
    if identity:
        identity.cert_chain_pems[0].write_to_path(folder / "client.pem")
        identity.private_key_pem.write_to_path(folder / "client.key")
        files |= {"private_key": str(folder / "client.key"), "certificate_chain": str(folder / "client.pem")}
    client = grpc.InferenceServerClient(address, ssl=trusted is not None, channel_args=[("grpc.enable_http_proxy", 0)], **files)
    try:
        return bool(client.is_model_ready("face_analysis", client_timeout=5))
    except InferenceServerException:
        return False
    finally:
        client.close()


@pytest.mark.integration
def test_only_clients_with_a_certificate_are_answered(guarded: str, authority: trustme.CA, tmp_path: Path) -> None:
    assert ready(guarded, authority, authority.issue_cert("client@vultus"), tmp_path)
    assert not ready(guarded, authority, None, tmp_path)
    assert not ready(guarded, authority, trustme.CA().issue_cert("client@vultus"), tmp_path)
    assert not ready(guarded, None, None, tmp_path)


@pytest.mark.integration
def test_a_client_sees_a_false_server(guarded: str, authority: trustme.CA, tmp_path: Path) -> None:
    assert not ready(guarded, trustme.CA(), authority.issue_cert("client@vultus"), tmp_path)
