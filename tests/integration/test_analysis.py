"""Real photographs through the gateway and the real Triton."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib.cbook
import numpy as np
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from PIL import Image

from scripts.train.landmark_layout import mirror_order
from tests.conftest import PICTURES, encode, overlap
from tests.served import ROOT, Served

ASTRONAUT, HOPPER = (178, 66, 269, 177), (177, 123, 355, 335)
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip


@pytest.fixture(scope="session")
def hopper() -> bytes:
    path: Any = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return Path(path).read_bytes()


def box(face: dict[str, Any]) -> list[float]:
    return [face["box"][name] for name in ("x1", "y1", "x2", "y2")]


def composite(astronaut: NDArray[np.uint8], count: int, low: int, high: int) -> tuple[NDArray[np.uint8], list[tuple[float, ...]]]:
    """The astronaut's head `count` times, faces `low` to `high` px high, side by side on grey. Returns where the faces are."""
    head = astronaut[0:230, 120:330]
    columns = int(np.ceil(np.sqrt(count)))
    cell = int(high * 2.1)
    canvas = np.full((cell * columns, cell * columns, 3), 120, np.uint8)
    places: list[tuple[float, ...]] = []
    for index, height in enumerate(np.linspace(low, high, count)):
        scale = height / 111
        small = np.asarray(Image.fromarray(head).resize((round(210 * scale), round(230 * scale)), Image.Resampling.LANCZOS))
        y, x = (index // columns) * cell, (index % columns) * cell
        canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
        places.append((x + 58 * scale, y + 66 * scale, x + 149 * scale, y + 177 * scale))
    return canvas, places


def test_the_printed_curl_works(served: Served) -> None:
    (line,) = [line for line in served.lines if "curl -F" in line]
    answer = subprocess.run(shlex.split(line.strip()), capture_output=True, check=True, text=True, cwd="/").stdout
    assert '"faces":[{"box"' in answer


def test_astronaut(served: Served, astronaut: bytes) -> None:
    status, body = served.post(astronaut)
    assert (status, len(body["faces"])) == (200, 1)
    face = body["faces"][0]
    assert overlap(box(face), ASTRONAUT) >= 0.6
    assert abs(face["age"] - 36) <= 12
    assert face["gender"]["value"] == "female"
    assert face["emotion"]["dominant"] == "happy"


def test_hopper(served: Served, hopper: bytes) -> None:
    _, body = served.post(hopper)
    assert len(body["faces"]) == 1
    assert overlap(box(body["faces"][0]), HOPPER) >= 0.6


@pytest.mark.parametrize("picture", ["astronaut", "hopper"])
def test_points_lie_where_their_names_say(served: Served, picture: str, request: pytest.FixtureRequest) -> None:
    (face,) = served.post(request.getfixturevalue(picture), "?attributes=landmarks,pupils")[1]["faces"]
    points = np.array(face["landmarks"])
    eyes = float(np.linalg.norm(points[41] - points[24]))  # the outer corners
    for side, outline in (("left", points[24:40]), ("right", points[40:56])):
        pupil = face["pupils"][side]
        assert np.linalg.norm(outline.mean(0) - [pupil["x"], pupil["y"]]) < 0.1 * eyes
        assert 0.03 * eyes < pupil["radius"] < 0.12 * eyes
        assert (outline.min(0) < [pupil["x"], pupil["y"]]).all()
        assert (outline.max(0) > [pupil["x"], pupil["y"]]).all()
    brows, nose, mouth, chin = points[:24, 1].mean(), points[57, 1], points[62:96, 1].mean(), points[96:, 1].max()
    assert brows < points[24:56, 1].mean() < nose < mouth < chin


def test_a_mirrored_picture_has_mirrored_points(served: Served, astronaut_pixels: NDArray[np.uint8]) -> None:
    plain, mirrored = (
        served.post(encode(pixels), "?attributes=landmarks,pose")[1]["faces"][0] for pixels in (astronaut_pixels, astronaut_pixels[:, ::-1])
    )
    points, other = np.array(plain["landmarks"]), np.array(mirrored["landmarks"])[mirror_order()]
    eyes = np.linalg.norm(points[41] - points[24])
    assert np.linalg.norm(other * [-1, 1] + [511, 0] - points, axis=1).mean() < 0.06 * eyes
    assert abs(plain["pose"]["yaw"] + mirrored["pose"]["yaw"]) < 6


@pytest.mark.parametrize("orientation", range(2, 9))
def test_orientation_does_not_move_the_box(served: Served, astronaut: bytes, orientation: int) -> None:
    upright = Image.open(io.BytesIO(astronaut))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    upright.transpose(UNDO[orientation]).save(buffer, "JPEG", exif=exif, quality=92)
    _, turned = served.post(buffer.getvalue())
    _, plain = served.post(astronaut)
    assert overlap(box(turned["faces"][0]), box(plain["faces"][0])) >= 0.9
    assert turned["image"] == {"width": 512, "height": 512}


def test_a_face_much_larger_than_the_crop(served: Served, astronaut_pixels: NDArray[np.uint8]) -> None:
    close = Image.fromarray(astronaut_pixels[40:210, 140:310]).resize((2400, 2400), Image.Resampling.BICUBIC)
    _, body = served.post(encode(np.asarray(close)))
    (face,) = body["faces"]
    assert overlap(box(face), (38 * 14.1, 26 * 14.1, 129 * 14.1, 137 * 14.1)) > 0.6
    assert body["image"] == {"width": 2400, "height": 2400}


@pytest.mark.parametrize(("count", "low", "high"), [(5, 80, 200), (12, 40, 200), (60, 48, 72)])
def test_many_faces_each_in_its_place(served: Served, astronaut_pixels: NDArray[np.uint8], count: int, low: int, high: int) -> None:
    canvas, places = composite(astronaut_pixels, count, low, high)
    _, body = served.post(encode(canvas))
    found = [box(face) for face in body["faces"]]
    hits = sum(max((overlap(place, other) for other in found), default=0) >= 0.5 for place in places)
    assert hits >= count - max(1, count // 12)
    assert len(found) <= count + max(1, count // 12)
    assert all("age" in face and "emotion" in face for face in body["faces"])


def test_no_face_is_an_empty_list(served: Served) -> None:
    ramp = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1))
    status, body = served.post(encode(np.stack([ramp, ramp[:, ::-1], ramp // 2], 2)))
    assert (status, body["faces"]) == (200, [])


def test_concurrent_answers_are_the_callers_own(served: Served, astronaut_pixels: NDArray[np.uint8]) -> None:
    """Clients with 0 to 4 faces at once; batching across requests must not mix them, and must happen."""
    pictures = [
        encode(composite(astronaut_pixels, n, 100, 120)[0]) if n else encode(np.full((200, 200, 3), 99, np.uint8)) for n in range(5)
    ]
    alone = [[box(face) for face in served.post(picture)[1]["faces"]] for picture in pictures]
    assert [len(faces) for faces in alone] == [0, 1, 2, 3, 4]
    before = served.statistics()
    with ThreadPoolExecutor(16) as pool:
        jobs = [(n, pool.submit(served.post, pictures[n])) for n in [i % 5 for i in range(160)]]
        answers = [(n, job.result()) for n, job in jobs]
    for n, (status, body) in answers:
        assert status == 200
        assert len(body["faces"]) == len(alone[n])
        assert all(overlap(box(face), expected) > 0.95 for face, expected in zip(body["faces"], alone[n], strict=True))
    rows, runs = (after - start for after, start in zip(served.statistics()["face_expression"], before["face_expression"], strict=True))
    assert rows / runs > 1.5


def test_unwanted_models_do_not_run(served: Served, astronaut: bytes) -> None:
    before = served.statistics()
    served.post(astronaut, "?attributes=age")
    after = served.statistics()
    assert after["face_expression"] == before["face_expression"]
    assert after["face_demographics"][0] == before["face_demographics"][0] + 1


def test_every_output_alone_and_all_together_by_grpc(served: Served, astronaut_pixels: NDArray[np.uint8]) -> None:
    client = triton.InferenceServerClient(served.triton)
    tensor = triton.InferInput("IMAGE", [1, *astronaut_pixels.shape], "UINT8")
    tensor.set_data_from_numpy(astronaut_pixels[None])
    names = [output.name for output in client.get_model_config("face_analysis").config.output]
    everything = client.infer("face_analysis", [tensor])
    for name in names:
        alone = client.infer("face_analysis", [tensor], outputs=[triton.InferRequestedOutput(name)])
        np.testing.assert_allclose(alone.as_numpy(name), everything.as_numpy(name), atol=1e-3)
    client.close()


def test_grpc_client_script(served: Served) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "grpc_client.py"), str(PICTURES / "astronaut.jpg"), "--host", served.triton]
    text = subprocess.run(command, capture_output=True, check=True, text=True, cwd="/").stdout
    assert text.startswith("1 face\nbox ")
    wrong = subprocess.run([*command[:2], str(Path(__file__)), *command[3:]], capture_output=True, check=False, text=True)
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (1, False)


def test_probes_and_attributes(served: Served) -> None:
    assert served.get("/readyz")[0] == 200
    assert served.get("/healthz")[0] == 200
    assert {row["name"] for row in served.get("/v1/attributes")[1]["attributes"]} >= {"age", "gender", "race", "emotion"}


def test_metrics_are_those_of_all_workers(served: Served, astronaut: bytes) -> None:
    def count() -> float:
        with urllib.request.urlopen(f"{served.base}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("vultus_requests_total{") and 'route="/v1/analyze"' in line)

    before = count()
    with ThreadPoolExecutor(8) as pool:
        assert {status for status, _ in pool.map(lambda _: served.post(astronaut), range(24))} == {200}
    assert [count() for _ in range(6)] == [before + 24] * 6
