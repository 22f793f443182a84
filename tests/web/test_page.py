"""The demo page in a real headless Chromium, against a real HTTP server whose Triton is a fake."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import make_server

from gateway.app import create_app
from gateway.errors import KeyMissing
from gateway.models import read_catalogue
from gateway.settings import REPOSITORY, Settings
from tests.conftest import PICTURES, FakeTriton
from vultus.table import COLUMNS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("default"),  # the browser's driver has its own
]
PHOTO = PICTURES / "astronaut.jpg"
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
expect.set_options(timeout=20_000)
DRAWN = "() => document.getElementById('canvas').toDataURL()"


class Fake(FakeTriton):
    """Answers some tensors otherwise, and not at once."""

    instead: dict[str, Any]
    pause_s: float

    def reset(self) -> None:
        self.faces, self.failure, self.instead, self.pause_s = 2, None, {}, 0.0

    def twelve(self) -> None:
        self.faces, self.instead = 12, {"SCORES": np.linspace(0.99, 0.7, 12, dtype=np.float32)}

    def infer(self, image: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        time.sleep(self.pause_s)
        answer = super().infer(image, outputs)
        return answer | {name: np.zeros_like(answer[name]) + self.instead[name] for name in outputs if name in self.instead}


@pytest.fixture(scope="module")
def fake() -> Fake:
    return Fake()


@pytest.fixture(scope="module")
def base(fake: Fake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
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
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *CAMERA])
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
def watched(browser: Browser, base: str, fake: Fake) -> Iterator[Watched]:
    fake.reset()
    context = browser.new_context(accept_downloads=True, permissions=["camera", "clipboard-read", "clipboard-write"])
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


def plain(path: Path, side_px: int) -> Path:
    """A picture of one colour."""
    Image.new("RGB", (side_px, side_px), "white").save(path)
    return path


def test_an_upload_shows_every_face(page: Page) -> None:
    upload(page, PHOTO)
    expect(page.locator("#message")).to_have_text("2 faces found.")
    expect(page.locator(".card")).to_have_count(2)
    first = page.locator(".card").first
    for text in ("female, about 32, happy", "female, 75 %", "living face", "regular, 70 %", "worn wrongly, 60 %", "yaw -12.5"):
        expect(first).to_contain_text(text)
    drawn = page.evaluate("() => [document.getElementById('canvas').width, document.getElementById('canvas').height]")
    assert drawn == [512, 512]


def test_switches_change_the_drawing(page: Page) -> None:
    upload(page, PHOTO)
    expect(page.locator(".card")).to_have_count(2)
    pictures = {page.evaluate(DRAWN)}
    for name in page.locator("#switches label").all():
        name.click()
        pictures.add(page.evaluate(DRAWN))
    assert len(pictures) == 6


def test_pasting(page: Page) -> None:
    page.evaluate("""async () => {
        const blob = await (await fetch('web/sample.jpg')).blob();
        const data = new DataTransfer();
        data.items.add(new File([blob], 'pasted.jpg', { type: 'image/jpeg' }));
        document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }));
    }""")
    expect(page.locator(".card")).to_have_count(2)


def test_no_face(page: Page, fake: Fake) -> None:
    fake.faces = 0
    upload(page, PHOTO)
    expect(page.locator("#message")).to_contain_text("No face found.")
    expect(page.locator(".card")).to_have_count(0)


def test_twelve_faces(page: Page, fake: Fake) -> None:
    fake.twelve()
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


def test_an_empty_file_is_named_and_hides_the_picture_before(page: Page, tmp_path: Path) -> None:
    upload(page, PHOTO)
    expect(page.locator("#result")).to_be_visible()
    (tmp_path / "nothing.jpg").touch()
    upload(page, tmp_path / "nothing.jpg")
    expect(page.locator("#message.bad")).to_have_text("nothing.jpg has nothing in it.")
    expect(page.locator("#result")).to_be_hidden()


def test_a_key_is_asked_for_when_one_is_needed(watched: Watched, fake: Fake) -> None:
    expect(watched.page.locator("#key")).to_be_hidden()
    fake.failure = KeyMissing()
    upload(watched.page, PHOTO)
    expect(watched.page.locator("#message.bad")).to_contain_text("enter it in the field Key")
    fake.failure = None
    with watched.page.expect_request("**/v1/analyze") as asked:
        watched.page.fill("#key", "a secret")
        watched.page.keyboard.press("Tab")
    assert asked.value.headers["x-api-key"] == "a secret"
    expect(watched.page.locator(".card")).to_have_count(2)
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
        "CompreFace": "x_min",
    }.items():
        page.get_by_role("tab", name=name).click()
        expect(page.locator("#body")).to_contain_text(text)
        for language in ("Python", "JavaScript", "curl"):
            page.select_option("#language", language)
            assert page.locator("#request").inner_text().strip()


def test_a_batch_with_bad_files(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    (tmp_path / "=bad.jpg").write_text("hello")
    (tmp_path / "empty.jpg").touch()
    upload(page, PHOTO, tmp_path / "=bad.jpg", tmp_path / "empty.jpg", plain(tmp_path / "white.png", 300))
    expect(page.locator("#message")).to_have_text("4 pictures done, 2 failed.")
    assert page.locator(".tile-said").all_inner_texts() == ["2 faces", "failed", "failed", "2 faces"]
    expect(page.locator("#stop")).to_be_disabled()
    assert page.evaluate("() => document.getElementById('progress').value") == 1
    with page.expect_download() as download:
        page.click("#csv")
    text = Path(download.value.path()).read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["picture"], row["face"]) for row in rows] == [
        ("astronaut.jpg", "0"), ("astronaut.jpg", "1"), ("'=bad.jpg", ""), ("empty.jpg", ""), ("white.png", "0"), ("white.png", "1"),
    ]  # fmt: skip
    filled = {name for name, value in rows[0].items() if value}
    assert filled == set(COLUMNS) - {"beauty", "error"}
    assert [bool(row["error"]) for row in rows] == [False, False, True, True, False, False]
    with page.expect_download() as download:
        page.click("#json")
    assert [bool(row["answer"]) for row in json.loads(Path(download.value.path()).read_text())] == [True, False, False, True]


def test_a_gallery_shows_what_is_chosen_and_what_all_have_in_common(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    (tmp_path / "bad.jpg").write_text("hello")
    upload(page, PHOTO, plain(tmp_path / "white.png", 300), tmp_path / "bad.jpg")
    expect(page.locator("#message")).to_contain_text("pictures done")
    page.get_by_role("button", name="white.png").click()
    expect(page.locator("#message")).to_have_text("2 faces found.")
    assert page.evaluate("() => document.getElementById('canvas').width") == 300
    page.get_by_role("button", name="bad.jpg").click()
    expect(page.locator("#message.bad")).to_contain_text("bad.jpg is not a picture")
    expect(page.locator("#result")).to_be_hidden()
    page.click("#sums summary")
    expect(page.locator("#ages li", has_text="30 to 39")).to_contain_text("4")
    expect(page.locator("#emotions li", has_text="happy")).to_contain_text("4")


def test_a_second_batch_ends_the_first(page: Page, fake: Fake, tmp_path: Path) -> None:
    fake.pause_s = 0.3
    upload(page, *[plain(tmp_path / f"first{number}.png", 300) for number in range(4)])
    expect(page.locator(".tile")).to_have_count(4)
    upload(page, *[plain(tmp_path / f"second{number}.png", 310) for number in range(2)])
    expect(page.locator("#message")).to_have_text("2 pictures done, 0 failed.")
    page.wait_for_timeout(700)
    assert page.locator(".tile-name").all_inner_texts() == ["second0.png", "second1.png"]
    expect(page.locator("#message")).to_have_text("2 pictures done, 0 failed.")


def test_a_drop_beside_the_box(page: Page) -> None:
    kept = page.evaluate("""async () => {
        const data = new DataTransfer();
        data.items.add(new File([await (await fetch('web/sample.jpg')).blob()], 'dropped.jpg', { type: 'image/jpeg' }));
        const event = new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true });
        return !document.querySelector('footer').dispatchEvent(event);
    }""")
    assert kept  # or the browser would leave the page
    expect(page.locator(".card")).to_have_count(2)


def test_cards_begin_at_the_first(page: Page, fake: Fake) -> None:
    page.set_viewport_size({"width": 1440, "height": 600})
    fake.twelve()
    upload(page, PHOTO)
    expect(page.locator(".card")).to_have_count(12)
    assert page.evaluate("() => (document.getElementById('cards').scrollTop = 900)") == 900
    upload(page, PHOTO)
    expect(page.locator("#message")).to_have_text("12 faces found.")
    page.wait_for_function("() => document.getElementById('cards').scrollTop === 0")


def test_nothing_is_certain(page: Page, fake: Fake) -> None:
    fake.instead = {"GENDER": np.array([0.0004, 0.9996], np.float32), "LIVENESS": np.float32(0.9999)}
    upload(page, PHOTO)
    expect(page.locator(".card").first).to_contain_text("female, over 99 %")
    assert "100 %" not in page.locator("#cards").inner_text()


@pytest.mark.parametrize(
    ("instead", "why"),
    [
        ({"QUALITY": np.float32(12)}, "blurred, dark or partly covered"),
        ({"BOXES": np.array([10, 10, 30, 34], np.float32)}, "only 20 pixels wide"),
        ({"SCORES": np.float32(0.51)}, "may be no face"),
    ],
)
def test_what_can_hardly_be_seen_is_not_described(page: Page, fake: Fake, instead: dict[str, Any], why: str) -> None:
    fake.instead = instead
    upload(page, PHOTO)
    card = page.locator(".card").first
    expect(card.locator(".headline")).to_have_text("not sure")
    expect(card).to_contain_text(why)
    expect(card.locator("dl")).to_be_hidden()
    card.get_by_text("The guess").click()
    expect(card.locator("dl")).to_contain_text("female, 75 %")


def test_landmarks_are_left_out_where_they_would_hide_the_face(page: Page, tmp_path: Path) -> None:
    upload(page, plain(tmp_path / "large.png", 2400))
    expect(page.locator(".card")).to_have_count(2)
    before = page.evaluate(DRAWN)
    page.locator("#switches label", has_text="landmarks").click()
    assert page.evaluate(DRAWN) == before
    page.locator("#switches label", has_text="five points").click()
    assert page.evaluate(DRAWN) != before


def test_what_is_asked_for_goes_into_the_query(page: Page) -> None:
    upload(page, PHOTO)
    expect(page.locator(".card")).to_have_count(2)
    for field, value, expected in (
        ("#min_confidence", "0.8", "min_confidence=0.8"),
        ("#min_face_px", "50", "min_face_px=50"),
        ("#max_faces", "1", "max_faces=1"),
    ):
        with page.expect_request(re.compile(re.escape(expected))):
            page.fill(field, value)
            page.locator(field).dispatch_event("change")
    with page.expect_request(re.compile("order=size")):
        page.select_option("#order", "size")
    with page.expect_request(re.compile("attributes=all")) as asked:
        page.check("#everything")
    assert "min_confidence=0.8&min_face_px=50&order=size&max_faces=1&attributes=all" in asked.value.url
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card")).to_contain_text("beauty")
    expect(page.locator("#confidence-said")).to_have_text("80 %")


def test_faces_are_hidden_on_request(page: Page) -> None:
    upload(page, PHOTO)
    expect(page.locator(".card")).to_have_count(2)
    seen, crop = page.evaluate(DRAWN), page.evaluate("() => document.querySelector('.crop').toDataURL()")
    with page.expect_request(re.compile(r"v1/redact\?method=cover")):
        page.select_option("#hide", "cover")
    page.wait_for_function("crop => document.querySelector('.crop').toDataURL() !== crop", arg=crop)
    assert page.evaluate(DRAWN) != seen
    page.select_option("#hide", "")
    page.wait_for_function("crop => document.querySelector('.crop').toDataURL() === crop", arg=crop)


def test_picture_and_json_are_saved_and_copied(page: Page) -> None:
    upload(page, PHOTO)
    expect(page.locator(".card")).to_have_count(2)
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "astronaut-faces.png"
    assert Image.open(download.value.path()).size == (512, 512)
    with page.expect_download() as download:
        page.click("#save-json")
    saved = Path(download.value.path()).read_text()
    assert len(json.loads(saved)["faces"]) == 2
    assert '"box": { "x1"'.replace("{ ", "{") in saved  # what fits into a line stays in one
    page.click("#copy-json")
    expect(page.locator("#message")).to_have_text("Copied.")
    assert json.loads(page.evaluate("() => navigator.clipboard.readText()")) == json.loads(saved)
    assert page.locator("#body .name").count() > 20
    assert page.locator("#body .number").count() > 20


def test_samples(page: Page) -> None:
    expect(page.locator(".credit")).to_contain_text("NASA, public domain")
    for name in ("Portrait", "Group", "Far away", "No face"):
        with page.expect_response("**/v1/analyze") as answer:
            page.get_by_role("button", name=name, exact=True).click()
        assert answer.value.ok
    expect(page.locator(".card")).to_have_count(2)


def test_the_camera(page: Page) -> None:
    page.evaluate("""() => {
        window.said = [];
        new MutationObserver(() => said.push(document.getElementById('message').textContent))
            .observe(document.getElementById('message'), { childList: true, characterData: true, subtree: true });
    }""")
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#timings")).to_contain_text("pictures a second")
    expect(page.locator(".card")).to_have_count(2)
    page.locator(".card summary").first.click()
    page.get_by_role("tab", name="Vultus").focus()
    first = page.locator("#timings").inner_text()
    page.wait_for_function("first => document.getElementById('timings').textContent !== first", arg=first)
    page.wait_for_timeout(1000)
    assert page.evaluate("() => document.querySelector('.card details').open")
    assert len(page.evaluate("() => said")) <= 2
    page.get_by_role("button", name="Stop the camera").click()
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()
    expect(page.locator("#message")).to_have_text("The camera is off.")


def test_the_camera_keeps_the_chosen_tab(page: Page) -> None:
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator(".card")).to_have_count(2)
    page.locator("#language").select_option("Python")
    page.wait_for_timeout(800)
    assert page.evaluate("() => document.getElementById('language').value") == "Python"
    expect(page.locator("#request")).to_contain_text("import requests")


def test_a_mirror_and_means_over_frames(page: Page) -> None:
    face = {
        "box": {"x1": 10, "y1": 0, "x2": 50, "y2": 40}, "confidence": 0.9, "keypoints": {"nose": [30, 20]}, "landmarks": [[12, 3]],
        "pose": {"yaw": 5, "pitch": 1, "roll": -2}, "age": 30, "gender": {"value": "male", "probability": 0.9},
        "emotion": {"dominant": "sad", "probabilities": {"sad": 1, "happy": 0}},
    }  # fmt: skip
    seen, first, second, numbers = page.evaluate(
        """async face => {
        const { mirrored, Tracks } = await import('/web/tracking.js');
        const tracks = new Tracks();
        const other = { ...face, box: { x1: 100, y1: 0, x2: 140, y2: 40 } };
        const first = tracks.follow([face, other], 0);
        const emotion = { dominant: 'happy', probabilities: { sad: 0, happy: 1 } };
        const later = { ...face, age: 40, gender: { value: 'female', probability: 0.8 }, emotion };
        const second = tracks.follow([other, later], 50);
        return [mirrored(face, 200), first.faces[0], second.faces[0], second.numbers];
    }""",
        face,
    )
    assert seen["box"] == {"x1": 150, "y1": 0, "x2": 190, "y2": 40}
    assert (seen["keypoints"]["nose"], seen["landmarks"][0], seen["pose"]) == ([170, 20], [188, 3], {"yaw": -5, "pitch": 1, "roll": 2})
    assert first["age"] == 30
    assert numbers == [0, 1]  # whoever the answer names first
    assert second["age"] == pytest.approx(32)
    assert second["gender"] == {"value": "male", "probability": pytest.approx(0.76)}
    assert second["emotion"]["dominant"] == "sad"


def test_by_keyboard_alone(page: Page) -> None:
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.textContent") == "Portrait":
            break
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(2)
    page.locator(".card").first.focus()
    expect(page.locator(".card").first).to_have_class(re.compile("on$"))
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
