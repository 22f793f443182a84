"""Pictures of the page for the documentation: `python -m scripts.screenshots` starts scripts/serve and drives headless Chromium.

Only pictures that may be passed on are shown: the NASA portrait in tests/pictures and, in the picture of twelve, the US Navy's
portrait of Grace Hopper that comes with matplotlib. The camera sees the first of them.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import matplotlib
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pages" / "pictures"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ASTRONAUT = ROOT / "tests" / "pictures" / "astronaut.jpg"
HOPPER = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
# Heads in the two portraits: left, top, right, bottom in pixels.
HEADS = ((130, 10, 330, 230), (118, 30, 398, 338))
COLUMNS, ROWS, CELL_PX = 4, 3, 220
GROUND = (206, 212, 218)
WEBP_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of the page: how large the window is, what is shown, what the message then says."""

    name: str
    photographs: tuple[str, ...]
    message: str
    width_px: int = 1440
    height_px: int = 800
    scheme: Literal["light", "dark"] = "light"
    scale: float = 1
    context: dict[str, Any] = field(default_factory=dict)
    hide: str = ""


SHOTS = (
    Shot("light", ("astronaut.jpg",), "1 face found."),
    Shot("dark", ("astronaut.jpg",), "1 face found.", scheme="dark"),
    Shot("phone", ("astronaut.jpg",), "1 face found.", 390, 844, scale=2, context={"is_mobile": True, "has_touch": True}),
    Shot("twelve", ("twelve.jpg",), "12 faces found."),
    Shot("blurred", ("twelve.jpg",), "12 faces found.", hide="blur"),
    Shot("batch", ("astronaut.jpg", "hopper.jpg", "twelve.jpg", "holiday.jpg"), "4 pictures done, 1 failed.", height_px=900),
    Shot("camera", (), "The camera is on."),
    Shot("error", ("holiday.jpg",), "holiday.jpg is not a picture", height_px=480),
)
# Of the picture that the camera sees.
CAMERA_SIZE = (640, 480)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a running service, in place of one that is started")
    parser.add_argument("--output", type=Path, default=PICTURES)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[shot.name for shot in SHOTS], help="make these alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vultus-shots-") as name, sync_playwright() as driver, _service(options.url) as url:
        folder = Path(name)
        (folder / "astronaut.jpg").write_bytes(ASTRONAUT.read_bytes())
        (folder / "twelve.jpg").write_bytes(twelve())
        (folder / "hopper.jpg").write_bytes(HOPPER.read_bytes())
        (folder / "camera.y4m").write_bytes(video())
        (folder / "holiday.jpg").write_text("not a picture")
        seen = (
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={folder / 'camera.y4m'}",
        )
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *seen])
        for shot in SHOTS:
            if options.only and shot.name not in options.only:
                continue
            picture = take(browser, url, shot, folder)
            Image.open(io.BytesIO(picture)).convert("RGB").save(options.output / f"page-{shot.name}.webp", quality=WEBP_QUALITY, method=6)
        browser.close()


def twelve() -> bytes:
    """A JPEG of twelve heads, six of each portrait, on plain ground."""
    sources = [Image.open(file).convert("RGB") for file in (ASTRONAUT, HOPPER)]
    heads = [source.crop(box) for source, box in zip(sources, HEADS, strict=True)]
    canvas = Image.new("RGB", (COLUMNS * CELL_PX, ROWS * CELL_PX), GROUND)
    for place in range(COLUMNS * ROWS):
        column, row = place % COLUMNS, place // COLUMNS
        head = heads[(column + row) % 2].copy()
        head.thumbnail((CELL_PX - 24, CELL_PX - 24), Image.Resampling.LANCZOS)
        canvas.paste(head, (column * CELL_PX + (CELL_PX - head.width) // 2, row * CELL_PX + (CELL_PX - head.height) // 2))
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def video() -> bytes:
    """One frame of YUV4MPEG2, which Chromium shows for ever: the portrait, for a camera that is held across."""
    width, height = CAMERA_SIZE
    frame = Image.open(ASTRONAUT).convert("RGB").resize((width, width)).crop((0, 0, width, height))
    planes = cv2.cvtColor(np.asarray(frame), cv2.COLOR_RGB2YUV_I420)
    return f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\nFRAME\n".encode() + planes.tobytes()


def take(browser: Browser, url: str, shot: Shot, folder: Path) -> bytes:
    """A PNG of the window after the photograph was given to the page."""
    size = {"width": shot.width_px, "height": shot.height_px}
    context = browser.new_context(viewport=size, color_scheme=shot.scheme, device_scale_factor=shot.scale, **shot.context)  # type: ignore[arg-type]
    try:
        page = context.new_page()
        page.goto(url)
        if shot.photographs:
            page.set_input_files("#files", [str(folder / name) for name in shot.photographs])
        else:
            page.click("#camera")
            expect(page.locator(".card")).to_have_count(1, timeout=60_000)
        expect(page.locator("#message")).to_contain_text(shot.message, timeout=60_000)
        if shot.hide:
            with page.expect_response("**/v1/redact*"):
                page.select_option("#hide", shot.hide)
        _settle(page, shot)
        return page.screenshot(animations="disabled")
    finally:
        context.close()


def _settle(page: Page, shot: Shot) -> None:
    """On a phone the faces are below the window."""
    if shot.name == "phone":
        page.locator("#message").evaluate("element => window.scrollTo(0, element.offsetTop)")
    if shot.name == "batch":
        page.click("#sums summary")
    page.wait_for_timeout(1000)


@contextmanager
def _service(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    free = [f"--{name}=0" for name in ("port", "grpc-port", "metrics-port")]
    process = subprocess.Popen([sys.executable, "-m", "scripts.serving", *free], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None  # noqa: S101
        found = next((match for line in process.stdout if (match := re.search(r"gateway +(http\S+)", line))), None)
        if found is None:
            raise SystemExit("scripts/serve did not start; its messages are above.")
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


if __name__ == "__main__":
    main()
