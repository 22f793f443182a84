"""The small inputs from which fuzzing starts, made here: every format, colour mode and kind of body once."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, features

from scripts.fuzzing.targets import BOUNDARY, KINDS, PATHS

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "corpus"
FIELDS = {1: "face_image", 2: "face_image", 6: "image", 8: "file", 9: "filename", 10: "file", 0: "image"}
COMPREFACE = 10


def write() -> None:
    """Put every seed into the corpus folder."""
    for target, seeds in (("decode", dict(pictures())), ("requests", dict(bodies()))):
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (CORPUS / target / name).write_bytes(data)


def pictures() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of small pictures."""
    ramp = np.add.outer(np.arange(20) * 7, np.arange(24) * 5)
    scene = Image.fromarray(np.stack([ramp, ramp[::-1], 255 - ramp], -1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    modes = {"JPEG": ("RGB", "L", "CMYK"), "PNG": ("RGB", "RGBA", "L", "P", "1", "I;16", "LA"), "BMP": ("RGB", "P", "1"), "GIF": ("P", "L"),
             "TIFF": ("RGB", "CMYK", "F", "1", "I;16"), "WEBP": ("RGB", "RGBA")}  # fmt: skip
    for kind, each in modes.items():
        for mode in each:
            image = Image.fromarray(ramp.astype(np.uint16)) if mode == "I;16" else scene.convert(mode)
            yield f"{kind}-{mode.replace(';', '')}".lower(), _saved(image, kind)
    yield "jpeg-progressive", _saved(scene, "JPEG", progressive=True, exif=exif)
    yield "png-interlaced-exif", _saved(scene, "PNG", exif=exif)
    yield "gif-frames", _saved(scene, "GIF", save_all=True, append_images=[scene.rotate(90)])
    yield "webp-frames", _saved(scene, "WEBP", save_all=True, append_images=[scene.rotate(90)])
    yield "webp-lossless", _saved(scene, "WEBP", lossless=True)
    yield "mpo", _saved(scene, "MPO", save_all=True, append_images=[scene])
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        yield f"tiff-{compression}", _saved(scene, "TIFF", compression=compression)
    if features.check("avif"):
        yield "avif", _saved(scene, "AVIF")


def bodies() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of requests, in the form that the target `requests` reads."""
    photo = dict(pictures())["jpeg-rgb"]
    text = base64.b64encode(photo).decode()
    raw, parts, url_encoded = KINDS.index("image/jpeg"), 0, KINDS.index("application/x-www-form-urlencoded")
    for index, path in enumerate(PATHS):
        name = path.strip("/").replace("/", "_")
        field = FIELDS.get(index, "url")
        yield f"{name}-form", _request(index, parts, form({field: photo, "access_key": b"a", "secret_key": b"b"}))
        query = "face_plugins=age,mask&limit=1&status=true" if index == COMPREFACE else "landmarks=1&schema=docs"
        picture = "file" if index == COMPREFACE else "image"
        yield f"{name}-json", _request(index, 1, json.dumps({picture: text, "api_key": "k"}).encode(), query)
        yield f"{name}-empty", _request(index, parts, b"")
    yield "v1-raw", _request(0, raw, photo, "attributes=age,pose&max_faces=2 id")
    yield "v1-data-url", _request(0, 1, json.dumps({"image": f"data:image/jpeg;base64,{text}"}).encode())
    yield "v1-url", _request(0, 1, b'{"url": "http://127.0.0.1/a.jpg"}')
    yield "v1-encoded", _request(0, url_encoded, b"image=%00&x=%ff")
    yield "nested", _request(3, 1, b'{"image":' + b"[" * 3000 + b"]" * 3000 + b"}")
    yield (
        "scaleflex-urls",
        _request(7, 1, b'{"files_urls": [{"url": "http://[::1/x"}, {"url": "file:///a"}, {"url": "http://a.example/%00"}]}'),
    )
    yield "null-in-names", _request(8, parts, form({"file": photo, "fi\x00le": b"x"}, filename="a\x00b/../%00.jpg"))
    yield "many-parts", _request(8, parts, form({"file": photo}) * 12)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def form(parts: dict[str, bytes], filename: str = "photo.jpg") -> bytes:
    """A multipart body; fields of one byte are text, the others files."""
    body = b""
    for name, data in parts.items():
        file = f'; filename="{filename}"' if len(data) > 1 else ""
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def _request(path: int, kind: int, body: bytes, line: str = "") -> bytes:
    return bytes([path, kind]) + line.encode() + b"\n" + body
