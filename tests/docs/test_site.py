"""The documentation site: it builds without a warning, needs no other host, and what it prints is true."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from gateway.errors import GatewayError
from gateway.models import ATTRIBUTE_MODELS, DETECTOR, STEPS
from gateway.settings import REPOSITORY, Settings
from scripts.documentation import repository, tables
from scripts.documentation.openapi import document
from scripts.screenshots import CHROMIUM, SHOTS
from tests.docs.test_readme import close
from tests.gateway.test_errors import leaves
from tests.served import ROOT, Served

PAGES = ROOT / "docs" / "pages"
FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.S | re.M)
QUIET = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}


def fences(page: str, kind: str) -> list[str]:
    """Untitled blocks of a kind: those with a title belong to the tests of extending."""
    return [code for found, title, code in FENCE.findall((PAGES / page).read_text()) if found == kind and not title]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", "docs/mkdocs.yml", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env={**os.environ, **QUIET}, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    return folder


def text_of(file: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", file.read_text()))


def test_every_measured_summary_is_shown(site: Path) -> None:
    text = text_of(site / "models.html")
    for model in (DETECTOR, *ATTRIBUTE_MODELS):
        for figures in json.loads((REPOSITORY / model / "results.json").read_text()).values():
            assert figures["summary"] in text


def test_every_model_has_its_card_and_licence(site: Path) -> None:
    licences = text_of(site / "licences.html")
    for model in tables.WITH_WEIGHTS:
        assert tables.card(model).file.sha256 in licences
        assert all(data in licences for data in tables.card(model).training.data)
        assert model == "face_align" or (site / "model-cards" / f"{model}.html").exists()


def test_every_setting_error_and_path_is_shown(site: Path) -> None:
    operations, errors, api, settings = (text_of(site / f"{name}.html") for name in ("operations", "errors", "api", "settings"))
    assert {f"VULTUS_{name.upper()}" for name in Settings.model_fields} <= set(re.findall(r"VULTUS_\w+", settings))
    assert "vultus_requests_total" in operations
    assert all(error.code in errors for error in leaves(GatewayError))
    assert all(path in api for path in document()["paths"])


def test_groups_that_nobody_measured_are_an_error() -> None:
    with pytest.raises(LookupError):
        tables.by_group("face_demographics", "AGE", ["Martian"])


def test_links_of_documents_become_links_of_pages() -> None:
    text = "[a](../README.md#x) [b](kubernetes/README.md) [Dockerfile](gateway/Dockerfile) [c](https://example.org) ![d](e.png)"
    assert repository.relinked(text, "docker/README.md", "images.md") == (
        "[a](quick-start.md#x) [b](kubernetes.md) Dockerfile (`docker/gateway/Dockerfile`) [c](https://example.org) ![d](e.png)"
    )


@pytest.mark.parametrize("page", sorted(path.name for path in PAGES.glob("*.md")))
def test_paths_on_pages_exist(page: str) -> None:
    for path in re.findall(r"`((?:scripts|tests|gateway|model_repository)/[\w/-]+(?:\.\w+)?)`", (PAGES / page).read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.integration
@pytest.mark.parametrize("page", ["errors.md", "operations.md"])
def test_every_curl_answers_as_printed(served: Served, page: str) -> None:
    curls = [line for block in fences(page, "sh") for line in block.splitlines() if line.startswith("curl ")]
    printed = [json.loads(block) for block in fences(page, "json")]
    assert curls
    for curl, expected in zip(curls, printed, strict=True):
        command = shlex.split(curl.replace("http://127.0.0.1:8080", served.base))
        answer: Any = json.loads(subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT).stdout)
        close(expected, answer)


def test_every_key_command_works(tmp_path: Path) -> None:
    (block,) = [block for block in fences("operations.md", "sh") if block.startswith("vultus ")]
    environment = {**os.environ, "VULTUS_KEYS_URL": f"sqlite:///{tmp_path / 'keys.sqlite'}"}
    said = ""
    for line in block.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "vultus"
        command = [sys.executable, "-m", "gateway.commands.main", *arguments]
        said += subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, text=True).stdout
    assert "secret" in said
    assert "web shop" in said


def test_only_known_pages_print_commands_to_run() -> None:
    """A command block on another page would run nowhere."""
    assert {path.name for path in PAGES.glob("*.md") if fences(path.name, "sh")} == {"errors.md", "operations.md"}


def test_the_diagram_names_every_step() -> None:
    drawn = (PAGES / "pictures" / "way.svg").read_text()
    assert set(re.findall(r">(face_\w+)<", drawn)) == set(STEPS)


def test_pictures_of_the_page_are_there_and_small() -> None:
    sizes = [(PAGES / "pictures" / f"page-{shot.name}.webp").stat().st_size for shot in SHOTS]
    assert max(sizes) < 150_000
    assert sum(sizes) < 700_000


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.filterwarnings("default")  # the browser's driver has its own
def test_the_site_talks_to_nobody_else(address: str) -> None:
    met: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: met.append(request.url))
        for name in ("index", "quick-start", "api", "models"):
            page.goto(f"{address}{name}.html", wait_until="networkidle")
        page.goto(f"{address}api.html", wait_until="networkidle")
        expect(page.frame_locator("iframe").locator('[data-path="/v1/analyze"]')).to_be_visible()
        browser.close()
    assert [url for url in met if not url.startswith((address, "data:", "blob:"))] == []
