"""Names of formats, and what to say about bytes that no decoder here opens."""

from __future__ import annotations

from gateway.errors import GatewayError, UndecodableImage, UnrecognisedImage, UnsupportedImage

# Pillow's name by ours. MPO is a JPEG with further pictures behind it, as some phones write.
FORMATS = {
    "JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "BMP": "bmp", "WEBP": "webp",
    "TIFF": "tiff", "GIF": "gif", "HEIF": "heif", "AVIF": "avif",
}  # fmt: skip
EVERY_FORMAT = frozenset(FORMATS.values())

# Formats that no decoder here reads but that are no mystery either.
OTHERS: dict[str | None, tuple[bytes, ...]] = {
    "JPEG XL": (b"\xff\x0a", b"\x00\x00\x00\x0cJXL "),
    "JPEG 2000": (b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  "),
    "raw": (b"FUJIFILMCCD-RAW", b"IIU\x00", b"IIRO", b"IIRS", b"MMOR", b"FOVb"),
    None: (b"%PDF", b"<svg", b"<?xml", b"8BPS", b"\x00\x00\x01\x00", b"\x76\x2f\x31\x01", b"qoif", b"DDS ", b"#?RADIANCE"),
}  # fmt: skip
LOSSLESS_JPEG = "JPEGs of 8 bits and of 1, 3 or 4 components are read; lossless ones are not."
RAW = "Raw files of cameras are not read: send the developed picture, as JPEG, PNG or TIFF."
HEIC = "HEIC pictures are read where the extra `heif` of vultus is installed; JPEG and PNG always are."
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def refusal(data: bytes) -> GatewayError:
    """The error for bytes that no decoder opened."""
    if data[4:8] == b"ftyp":
        return UnsupportedImage(_of_brand(data[8:12]))
    start = data[:4096].lstrip()[:64]
    for name, signatures in OTHERS.items():
        if data.startswith(signatures) or start.startswith(signatures):
            return UnsupportedImage(RAW if name == "raw" else name and f"{name} is not read.")
    if data.startswith(b"\xff\xd8\xff"):
        return _of_jpeg(data)
    return UndecodableImage() if data.startswith(BEGINNINGS) and len(data) > 8 else UnrecognisedImage()


def _of_brand(brand: bytes) -> str | None:
    if brand in HEIC_BRANDS:
        return HEIC
    return {b"crx ": RAW, b"avif": "AVIF is not read by this installation's Pillow."}.get(brand)


def _of_jpeg(data: bytes) -> GatewayError:
    """Pillow opens no JPEG of other than 8 bits, nor a lossless one, nor one of two components."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            usual = kind in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA) and data[at + 4] == 8 and data[at + 9] in (1, 3, 4)
            return UndecodableImage() if usual else UnsupportedImage(LOSSLESS_JPEG)
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return UndecodableImage()
