"""The demo page in a real headless Chromium, against a real HTTP server whose Triton is a fake."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import make_server

from gateway.app import create_app
from gateway.errors import KeyMissing
from gateway.models import read_catalogue
from gateway.settings import REPOSITORY, Settings
from tests.conftest import PICTURES, FakeTriton

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("default"),  # the browser's driver has its own
]
PHOTO = PICTURES / "astronaut.jpg"


@pytest.fixture(scope="module")
def fake() -> FakeTriton:
    return FakeTriton()


@pytest.fixture(scope="module")
def base(fake: FakeTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("web")
    settings = Settings(keys_url=f"sqlite:///{folder / 'keys.sqlite'}", pictures_url=str(folder / "pictures"), log_level="ERROR")
    app: Flask = create_app(settings, fake)  # type: ignore[arg-type]
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Watched:
    """A page, what it complained about, and whom it talked to."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._met(request.url))

    def _met(self, url: str) -> None:
        if not url.startswith((self.base, "blob:", "data:")):
            self.strangers.append(url)


@pytest.fixture
def watched(browser: Browser, base: str, fake: FakeTriton) -> Iterator[Watched]:
    fake.faces, fake.failure = 2, None
    context = browser.new_context(accept_downloads=True)
    watching = Watched(context.new_page(), base)
    watching.page.goto(base)
    yield watching
    assert watching.strangers == []
    context.close()


@pytest.fixture
def page(watched: Watched) -> Iterator[Page]:
    yield watched.page
    assert watched.complaints == []


def upload(page: Page, *files: Path) -> None:
    page.set_input_files("#files", [str(file) for file in files])


def test_an_upload_shows_every_face(page: Page) -> None:
    upload(page, PHOTO)
    expect(page.locator("#message")).to_have_text("2 faces found.")
    expect(page.locator(".card")).to_have_count(2)
    first = page.locator(".card").first
    for text in ("32 years", "female, 75 %", "living face", "regular, 70 %", "worn wrongly, 60 %", "yaw -12.5"):
        expect(first).to_contain_text(text)
    drawn = page.evaluate("() => [document.getElementById('canvas').width, document.getElementById('canvas').height]")
    assert drawn == [512, 512]


def test_switches_change_the_drawing(page: Page) -> None:
    upload(page, PHOTO)
    expect(page.locator(".card")).to_have_count(2)
    pictures = {page.evaluate("() => document.getElementById('canvas').toDataURL()")}
    for box in page.locator("#switches input").all():
        box.click()
        pictures.add(page.evaluate("() => document.getElementById('canvas').toDataURL()"))
    assert len(pictures) == 5


def test_pasting(page: Page) -> None:
    page.evaluate("""async () => {
        const blob = await (await fetch('web/sample.jpg')).blob();
        const data = new DataTransfer();
        data.items.add(new File([blob], 'pasted.jpg', { type: 'image/jpeg' }));
        document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }));
    }""")
    expect(page.locator(".card")).to_have_count(2)


def test_no_face(page: Page, fake: FakeTriton) -> None:
    fake.faces = 0
    upload(page, PHOTO)
    expect(page.locator("#message")).to_contain_text("No face found.")
    expect(page.locator(".card")).to_have_count(0)


def test_twelve_faces(page: Page, fake: FakeTriton) -> None:
    fake.faces = 12
    upload(page, PHOTO)
    expect(page.locator(".card")).to_have_count(12)


def test_a_file_that_is_no_picture(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("hello")
    upload(watched.page, tmp_path / "a.jpg")
    expect(watched.page.locator("#message.bad")).to_have_text("a.jpg is not a picture that this server can read. JPEG and PNG always work.")
    assert all("415" in text for text in watched.complaints)


def test_an_error_hides_the_picture_before(watched: Watched, tmp_path: Path) -> None:
    upload(watched.page, PHOTO)
    expect(watched.page.locator("#result")).to_be_visible()
    (tmp_path / "a.jpg").write_text("hello")
    upload(watched.page, tmp_path / "a.jpg")
    expect(watched.page.locator("#message.bad")).to_contain_text("a.jpg")
    expect(watched.page.locator("#result")).to_be_hidden()


def test_an_empty_file_is_named(page: Page, tmp_path: Path) -> None:
    (tmp_path / "nothing.jpg").touch()
    upload(page, tmp_path / "nothing.jpg")
    expect(page.locator("#message.bad")).to_have_text("nothing.jpg has nothing in it.")


def test_the_message_of_a_missing_key_says_where_it_goes(watched: Watched, fake: FakeTriton) -> None:
    fake.failure = KeyMissing()
    upload(watched.page, PHOTO)
    expect(watched.page.locator("#message.bad")).to_contain_text("enter it in the field Key")
    assert all("401" in text for text in watched.complaints)


def test_accuracy_is_shown_on_the_page(page: Page) -> None:
    page.get_by_role("link", name="Models and accuracy").click()
    outputs = read_catalogue(REPOSITORY).outputs
    expect(page.locator("#offered tr")).to_have_count(len(outputs))
    for output in outputs:
        expect(page.locator("#offered")).to_contain_text(output.measured)


def test_every_api_in_its_tab(page: Page) -> None:
    upload(page, PHOTO)
    expect(page.locator("#body")).to_contain_text("request_id")
    for name, text in {
        "ARSA": "passive_liveness",
        "AILabTools": "landmark_count",
        "Scaleflex": "dominant_race",
        "MachineSense": '"age"',
        "Coqnitics": "boundingBox",
    }.items():
        page.get_by_role("tab", name=name).click()
        expect(page.locator("#body")).to_contain_text(text)
        for language in ("Python", "JavaScript", "curl"):
            page.select_option("#language", language)
            assert page.locator("#request").inner_text().strip()


def test_a_batch_with_a_bad_file(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    (tmp_path / "=bad.jpg").write_text("hello")
    upload(page, PHOTO, tmp_path / "=bad.jpg", PHOTO)
    expect(page.locator("#message")).to_have_text("3 pictures done, 1 failed.")
    expect(page.locator("#rows tr")).to_have_count(3)
    expect(page.locator("#rows tr").nth(1)).to_contain_text("This file is not a picture")
    expect(page.locator("#stop")).to_be_disabled()
    assert page.evaluate("() => document.getElementById('progress').value") == 1
    with page.expect_download() as download:
        page.click("#csv")
    lines = Path(download.value.path()).read_text().split("\n")
    assert lines[0].startswith('"picture","face","x1"')
    assert len(lines) == 6
    assert lines[3].startswith('"\'=bad.jpg"')
    with page.expect_download() as download:
        page.click("#json")
    assert Path(download.value.path()).read_text().count('"request_id"') == 2


def test_by_keyboard_alone(page: Page) -> None:
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.id") == "sample":
            break
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(2)
    page.locator(".card").first.focus()
    expect(page.locator(".card").first).to_have_class("card on")
    page.get_by_role("tab", name="Vultus").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="ARSA")).to_be_focused()
    expect(page.locator("#body")).to_contain_text("passive_liveness")


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_hangs_over_the_edge(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    upload(page, PHOTO)
    expect(page.locator(".card")).to_have_count(2)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(watched: Watched, scheme: Any) -> None:
    watched.page.emulate_media(color_scheme=scheme)
    upload(watched.page, PHOTO)
    expect(watched.page.locator(".card")).to_have_count(2)
    serious = [v for v in Axe().run(watched.page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:120] for node in v["nodes"]]) for v in serious] == []
