"""How each vendor route is called and what vendor-apis.md says that it answers. Adding a vendor here runs every contract test on it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.callers.keys import Issued

Send = Callable[[FlaskClient, bytes | None, Issued | None], TestResponse]


@dataclass(frozen=True)
class Route:
    """`errors`: HTTP status and what must be in the body, by situation. `{}` in a body means: equal.

    `file_field`: the form field that holds the picture, where the body is a form. `wrong_format`: one that the vendor does not take.
    """

    vendor: str
    path: str
    send: Send
    errors: dict[str, tuple[int, Any]]
    success: int = 200
    file_field: str = ""
    wrong_format: str = "GIF"

    def __str__(self) -> str:
        return self.path + (" with base64" if self.vendor == "compreface" and not self.file_field else "")


def multipart(path: str, field: str, header: str) -> Send:
    def send(client: FlaskClient, image: bytes | None, key: Issued | None) -> TestResponse:
        data = {} if image is None else {field: (io.BytesIO(image), "photo.jpg")}
        return client.post(path, data=data, content_type="multipart/form-data", headers={header: key.secret} if key else {})

    return send


def json_body(path: str) -> Send:
    def send(client: FlaskClient, image: bytes | None, key: Issued | None) -> TestResponse:
        body = {} if image is None else {"image": base64.b64encode(image).decode()}
        return client.post(path, json=body | ({"api_key": key.secret} if key else {}))

    return send


def form_keys(path: str) -> Send:
    def send(client: FlaskClient, image: bytes | None, key: Issued | None) -> TestResponse:
        data: dict[str, Any] = {} if image is None else {"filename": (io.BytesIO(image), "photo.jpg")}
        if key:
            data |= {"access_key": key.key.identifier, "secret_key": key.secret}
        return client.post(path, data=data, content_type="multipart/form-data")

    return send


FIELD_REQUIRED = [{"loc": ["body", "face_image"], "msg": "field required", "type": "value_error.missing"}]
ARSA = {
    "key missing": (401, {"detail": "Invalid or inactive API key"}),
    "key wrong": (401, {"detail": "Invalid or inactive API key"}),
    "suspended": (403, {"detail": "Account suspended"}),
    "quota": (429, {"detail": {"error": "quota_exceeded", "message": "Monthly API quota reached", "used": 1, "limit": 1}}),
    "rate": (429, {"detail": {"error": "rate_limited", "message": "Rate limit exceeded, retry later"}}),
    "field missing": (422, {"detail": FIELD_REQUIRED}),
    "unreadable": (422, {"detail": "Could not decode image"}),
    "empty": (422, {"detail": "Could not decode image"}),
    "wrong format": (422, {"detail": "Could not decode image"}),
    "too many bytes": (413, {"detail": "File too large"}),
    "body too large": (413, {"detail": "File too large"}),
    "too many pixels": (413, {"detail": "File too large"}),
    "unknown path": (404, {"detail": "Not Found"}),
    "wrong method": (405, {"detail": "Method Not Allowed"}),
    "defect": (500, {"detail": "Internal Server Error"}),
    "triton down": (503, {"detail": "Service unavailable"}),
    "triton busy": (503, {"detail": "Service unavailable"}),
    "triton slow": (503, {"detail": "Service unavailable"}),
}


def machinesense(code: int, message: str, status: int = 200) -> tuple[int, Any]:
    return status, {"result": "Err", "code": code, "message": message, "data": {}}


MACHINESENSE = {
    "key missing": machinesense(2, "api_key is missing"),
    "key wrong": machinesense(3, "api_key is not valid"),
    "suspended": machinesense(3, "api_key is not valid"),
    "quota": machinesense(8, "quota exceeded"),
    "rate": machinesense(9, "rate limit exceeded"),
    "field missing": machinesense(4, "image is missing or is not base64"),
    "unreadable": machinesense(5, "image cannot be decoded"),
    "empty": machinesense(4, "image is missing or is not base64"),
    "wrong format": machinesense(5, "image cannot be decoded"),
    "too many bytes": machinesense(6, "image is too large"),
    "body too large": machinesense(6, "image is too large"),
    "too many pixels": machinesense(6, "image is too large"),
    "no face": machinesense(7, "no face found"),
    "unknown path": machinesense(404, "not found", 404),
    "wrong method": machinesense(405, "method not allowed", 405),
    "defect": machinesense(99, "service unavailable"),
    "triton down": machinesense(99, "service unavailable"),
    "triton busy": machinesense(99, "service unavailable"),
    "triton slow": machinesense(99, "service unavailable"),
}


def ailabtools(status: int, code: str, code_message: str, message: str, text: str = "") -> tuple[int, Any]:
    about_faces = code in ("ERROR_NO_FACE_IN_FILE", "ERROR_FACE_SIZE_RATIO_NOT_MET")
    return status, {
        "error_code": status,
        "error_code_str": "FILE_CONTENT_NON_COMPLIANCE" if about_faces else code,
        "error_msg": text or f"{'File content does not meet requirements.' if about_faces else code_message} - {message}",
        "error_detail": {"status_code": status, "code": code, "code_message": code_message, "message": message},
    }


NO_USER = ailabtools(401, "ERROR_USER_NOT_EXISTS", "Invalid or missing API key", "Unauthorized", "Unauthorized")
NO_AI = "AI does not exist or has been deactivated, please contact the platform."
AILABTOOLS = {
    "key missing": NO_USER,
    "key wrong": NO_USER,
    "suspended": ailabtools(403, "ERROR_USER_LOCKED", "The account has been locked.", "account locked"),
    "quota": ailabtools(429, "ERROR_NOT_ENOUGH_CREDITS", "Not enough credits.", "quota exceeded"),
    "rate": ailabtools(429, "EXCEEDING_LIMITS", "Rate limit exceeded.", "too many requests"),
    "field missing": ailabtools(400, "MISSING_PARAMETERS", "Missing parameters.", "[image]"),
    "unreadable": ailabtools(422, "FILE_DECODING_FAILURE", "The file could not be decoded.", "image decode failed"),
    "empty": ailabtools(422, "FILE_DECODING_FAILURE", "The file could not be decoded.", "image decode failed"),
    "wrong format": ailabtools(415, "UNSUPPORTED_FILE_TYPES", "Unsupported file type.", "image: Only PNG, JPG, JPEG, BMP are supported."),
    "too many bytes": ailabtools(413, "FILE_SIZE_EXCEEDS_LIMIT", "The file size exceeds the limit.", "image: no more than 20 MB"),
    "body too large": ailabtools(413, "FILE_SIZE_EXCEEDS_LIMIT", "The file size exceeds the limit.", "image: no more than 20 MB"),
    "too many pixels": ailabtools(
        413, "FILE_RESOLUTION_EXCEEDS_LIMITS", "The file resolution exceeds the limits.", "image: larger than 32x32, smaller than 4096x4096"
    ),
    "no face": ailabtools(422, "ERROR_NO_FACE_IN_FILE", "No face detected in the file.", "pic not has face"),
    "unknown path": ailabtools(404, "ERROR_AI_NOT_EXISTS", NO_AI, "unknown path"),
    "wrong method": ailabtools(405, "ERROR_INVALID_PARAMETER", "Invalid parameter.", "only POST is allowed"),
    "defect": ailabtools(500, "PROCESSING_FAILURE", "Processing failed.", "internal error"),
    "triton down": ailabtools(502, "AI_SERVICE_ERROR", "AI service error.", "model server error"),
    "triton busy": ailabtools(503, "ERROR_INSUFFICIENT_RESOURCES", "Insufficient resources.", "queue full"),
    "triton slow": ailabtools(504, "AI_SERVICE_TIMEOUT", "AI service timeout.", "model server timeout"),
}


def coqnitics(status: int, code: str, message: str) -> tuple[int, Any]:
    return status, {"error": {"code": code, "message": message}}


NO_KEYS = coqnitics(401, "INVALID_KEYS", "Missing or invalid access_key or secret_key")
NO_FILE = coqnitics(400, "MISSING_FILE", "No file in field filename")
UNREADABLE = coqnitics(415, "UNREADABLE_IMAGE", "File is not a readable JPEG or PNG image")
TOO_LARGE = coqnitics(413, "FILE_TOO_LARGE", "File too large")
UNAVAILABLE = coqnitics(503, "SERVICE_UNAVAILABLE", "Service unavailable")
COQNITICS = {
    "key missing": NO_KEYS,
    "key wrong": NO_KEYS,
    "suspended": NO_KEYS,
    "quota": coqnitics(429, "QUOTA_EXCEEDED", "Quota exceeded"),
    "rate": coqnitics(429, "RATE_LIMITED", "Too many requests"),
    "field missing": NO_FILE,
    "unreadable": UNREADABLE,
    "empty": UNREADABLE,
    "wrong format": UNREADABLE,
    "too many bytes": TOO_LARGE,
    "body too large": TOO_LARGE,
    "too many pixels": TOO_LARGE,
    "unknown path": coqnitics(404, "NOT_FOUND", "Not found"),
    "wrong method": coqnitics(405, "METHOD_NOT_ALLOWED", "Method not allowed"),
    "defect": coqnitics(500, "INTERNAL_ERROR", "Internal error"),
    "triton down": UNAVAILABLE,
    "triton busy": UNAVAILABLE,
    "triton slow": UNAVAILABLE,
}


def scaleflex(status: int, code: str, msg: str, hint: str) -> tuple[int, Any]:
    told = {"msg": msg, "hint": hint}
    return status, {"status": "error", "version": "2.9.3", **told, "code": code, "message": msg, "result": told}


NO_TOKEN = scaleflex(401, "KEY_INVALID", "Invalid or missing token or key", "Send the headers Filerobot-Token and Filerobot-Key")
NO_PICTURE = scaleflex(
    400, "FILE_MISSING", "No file and no URL in the request", "Send files_urls or url as JSON, or the multipart field file"
)
NOT_READABLE = scaleflex(415, "FILE_UNREADABLE", "The file is not a readable image", "Send JPEG, PNG, BMP or WebP")
LARGE_FILE = scaleflex(413, "FILE_TOO_LARGE", "The file is too large", "Send at most 20 MB and 50 megapixels")
LATER = scaleflex(503, "SERVICE_UNAVAILABLE", "Service unavailable", "Try again later")
SCALEFLEX = {
    "key missing": NO_TOKEN,
    "key wrong": NO_TOKEN,
    "suspended": scaleflex(403, "PERMISSION_DENIED", "The key lacks the permission", "The permission FILE_UPLOAD is needed"),
    "quota": scaleflex(429, "QUOTA_EXCEEDED", "Quota exceeded", "Wait for the next period"),
    "rate": scaleflex(429, "RATE_LIMITED", "Too many requests", "Wait and try again"),
    "field missing": NO_PICTURE,
    "unreadable": NOT_READABLE,
    "empty": NOT_READABLE,
    "wrong format": NOT_READABLE,
    "too many bytes": LARGE_FILE,
    "body too large": LARGE_FILE,
    "too many pixels": LARGE_FILE,
    "unknown path": scaleflex(404, "NOT_FOUND", "Not found", "Check the address and the method"),
    "wrong method": scaleflex(405, "METHOD_NOT_ALLOWED", "Method not allowed", "Check the address and the method"),
    "defect": scaleflex(500, "INTERNAL_ERROR", "Internal error", "Try again later"),
    "triton down": LATER,
    "triton busy": LATER,
    "triton slow": LATER,
}


def compreface(status: int, code: int, message: str) -> tuple[int, Any]:
    return status, {"message": message, "code": code}


NO_IMAGE = compreface(400, 21, "The file is not a readable image")
FACES_AWAY = compreface(503, 41, "The face service cannot answer now, please try again later")
COMPREFACE = {
    "key missing": compreface(400, 20, "Missing header: x-api-key"),
    "key wrong": compreface(404, 10, "Detection service with this API Key not found"),
    "suspended": compreface(403, 1, "This API Key is suspended"),
    "quota": compreface(429, 0, "The monthly quota of this API Key is used up"),
    "rate": compreface(429, 0, "Too many requests, please try again later"),
    "field missing": compreface(400, 34, "Required part file is missing"),
    "unreadable": NO_IMAGE,
    "empty": compreface(400, 5, "Field file cannot be empty"),
    "wrong format": NO_IMAGE,
    "too many bytes": compreface(413, 0, "The file is too large"),
    "body too large": compreface(413, 0, "The file is too large"),
    "too many pixels": compreface(413, 0, "The image has too many pixels"),
    "no face": compreface(400, 28, "No face is found in the given image"),
    "unknown path": compreface(404, 0, "Not found"),
    "wrong method": compreface(404, 0, "Request method is not supported"),
    "defect": compreface(500, 0, "Something went wrong, please try again"),
    "triton down": FACES_AWAY,
    "triton busy": FACES_AWAY,
    "triton slow": FACES_AWAY,
}


def as_base64(client: FlaskClient, image: bytes | None, key: Issued | None) -> TestResponse:
    body = {} if image is None else {"file": base64.b64encode(image).decode()}
    return client.post(DETECT, json=body, headers={"x-api-key": key.secret} if key else {})


def token_headers(key: Issued | None) -> dict[str, str]:
    return {"Filerobot-Token": key.key.identifier, "Filerobot-Key": key.secret} if key else {}


def upload(client: FlaskClient, image: bytes | None, key: Issued | None) -> TestResponse:
    data = {} if image is None else {"file": (io.BytesIO(image), "photo.jpg")}
    return client.post("/images/face-analysis/upload/", data=data, content_type="multipart/form-data", headers=token_headers(key))


PUBLISHED: dict[str, bytes] = {}


def by_url(client: FlaskClient, image: bytes | None, key: Issued | None) -> TestResponse:
    body: dict[str, Any] = {}
    if image is not None:
        url = f"https://pictures.test/a%20folder/{len(PUBLISHED)}.jpg?size=large"
        PUBLISHED[url] = image
        body = {"files_urls": [{"url": url}]}
    return client.post("/images/face-analysis", json=body, headers=token_headers(key))


ANALYZER = "/api/portrait/analysis/face-analyzer-advanced"
DETECT = "/api/v1/detection/detect"
ROUTES = [
    Route("arsa", path, multipart(path, "face_image", "x-key-secret"), ARSA, file_field="face_image")
    for path in ("/api/v1/face_analytics", "/api/v1/face_liveness")
]
ROUTES += [
    Route("machinesense", path, json_body(path), MACHINESENSE)
    for path in (f"/faceapi/v1/face_{what}_detection" for what in ("age", "gender", "expression"))
]
ROUTES += [
    Route("ailabtools", ANALYZER, multipart(ANALYZER, "image", "ailabapi-api-key"), AILABTOOLS, file_field="image"),
    Route("coqnitics", "/analyze", form_keys("/analyze"), COQNITICS, file_field="filename"),
    Route("scaleflex", "/images/face-analysis/upload", upload, SCALEFLEX, file_field="file"),
    Route("scaleflex", "/images/face-analysis", by_url, SCALEFLEX, success=201),
    Route("compreface", DETECT, multipart(DETECT, "file", "x-api-key"), COMPREFACE, file_field="file", wrong_format="ICO"),
    Route("compreface", DETECT, as_base64, COMPREFACE | {"field missing": COMPREFACE["empty"]}, wrong_format="ICO"),
]
