"""Everything that can go wrong, once.

    GatewayError
    +-- RequestError                        the caller can fix it
    |   +-- MissingImage            400     no image where one is expected
    |   +-- ImageWithoutName        400     an image in a form whose part lacks the file name that the API demands
    |   +-- EmptyImage              400     an image of no bytes
    |   +-- InvalidParameter        400     a parameter has a value that is not allowed
    |   +-- MalformedBody           400     the body is not what its content type says
    |   +-- TooManyImages           400     more images than one request may hold
    |   +-- DownloadFailed          400     an image by URL that may not or could not be fetched
    |   +-- KeyMissing              401     no key where one is needed
    |   +-- KeyInvalid              401     a key that is unknown or revoked
    |   +-- AccountSuspended        403     a known key that may not be used now
    |   +-- QuotaExceeded           429     the key's calls of this month are used up
    |   +-- UnknownPath             404     routing: no such path
    |   +-- MethodNotAllowed        405     routing: not with this method
    |   +-- UploadTooSlow           408     the body did not arrive in time
    |   +-- BodyTooLarge            413     more bytes than are read
    |   +-- ImageTooLarge           413     more pixels than are decoded
    |   +-- UnrecognisedImage       415     bytes of no known image format
    |   +-- UnsupportedImage        415     a known format that is not accepted here
    |   +-- UnsupportedEncoding     415     a compressed body
    |   +-- UndecodableImage        422     a known format, but damaged
    |   +-- ImageTooComplex         422     decoding takes more time or memory than is allowed
    |   +-- ImageTooSmall           422     fewer pixels than a face needs
    |   +-- NoFace                  422     no face, where the API demands one
    |   +-- FaceTooSmall            422     faces, but none as large as the API demands
    |   +-- RateLimited             429     too many requests in a short time
    |   +-- CallerGone              499     the client disconnected; only the log shows this
    +-- UpstreamError                       Triton, or the way to it
    |   +-- Overloaded              503     the gateway is full; Retry-After is set
    |   +-- UpstreamUnavailable     503     not reachable, or not ready
    |   +-- UpstreamOverloaded      503     Triton's queue is full; Retry-After is set
    |   +-- UpstreamTimeout         504     no answer before the deadline
    +-- ModelContractError          500     tensors are not what model.toml promises
    +-- InternalError               500     a defect here

Messages are written here and are safe to show: the text of another exception is not in them, and of what a client sent nothing but
the plain name of a parameter (`named`).
"""

from __future__ import annotations

import re
from typing import ClassVar

PLAIN = re.compile(r"[A-Za-z0-9_-]{1,40}")


def named(name: str, otherwise: str) -> str:
    """The caller's name for something if it is a plain word, else `otherwise`."""
    return name if PLAIN.fullmatch(name) else otherwise


class GatewayError(Exception):
    """Base. `status` is the HTTP status of /v1, `code` is stable and machine-readable, `title` is for people."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "The service failed on this request."

    def __init__(self, detail: str | None = None, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.retry_after_s = retry_after_s


class RequestError(GatewayError):
    """The request cannot be served as it is."""

    status, code, title = 400, "bad_request", "The request cannot be understood."


class MissingImage(RequestError):
    """No image where one is expected."""

    status, code, title = 400, "missing_image", "The request contains no image."


class ImageWithoutName(RequestError):
    """An image in a form whose part lacks the file name that the API demands."""

    status, code, title = 400, "image_without_name", "The form's part with the image has no file name."


class EmptyImage(RequestError):
    """An image of no bytes."""

    status, code, title = 400, "empty_image", "The image has no bytes."


class InvalidParameter(RequestError):
    """A parameter has a value that is not allowed."""

    status, code, title = 400, "invalid_parameter", "A parameter has a value that is not allowed."


class MalformedBody(RequestError):
    """The body is not what its content type says."""

    status, code, title = 400, "malformed_body", "The body is not what its content type says."


class TooManyImages(RequestError):
    """More images than one request may hold."""

    status, code, title = 400, "too_many_images", "The request holds too many images."


class DownloadFailed(RequestError):
    """An image by URL that may not or could not be fetched."""

    status, code, title = 400, "download_failed", "The image could not be fetched."


class KeyMissing(RequestError):
    """No key where one is needed."""

    status, code, title = 401, "key_missing", "A key is needed."


class KeyInvalid(RequestError):
    """A key that is unknown or revoked."""

    status, code, title = 401, "key_invalid", "The key is not valid."


class AccountSuspended(RequestError):
    """A known key that may not be used now."""

    status, code, title = 403, "account_suspended", "The account of this key is suspended."


class QuotaExceeded(RequestError):
    """The key's calls of this month are used up. `used` and `limit` count calls."""

    status, code, title = 429, "quota_exceeded", "The calls of this month are used up."

    def __init__(self, used: int, limit: int, *, retry_after_s: int) -> None:
        super().__init__(retry_after_s=retry_after_s)
        self.used, self.limit = used, limit


class UnknownPath(RequestError):
    """Routing: no such path."""

    status, code, title = 404, "unknown_path", "There is nothing at this path."


class MethodNotAllowed(RequestError):
    """Routing: not with this method."""

    status, code, title = 405, "method_not_allowed", "This path does not take this method."


class UploadTooSlow(RequestError):
    """The body did not arrive in time."""

    status, code, title = 408, "upload_too_slow", "The request took too long to arrive."


class BodyTooLarge(RequestError):
    """More bytes than are read."""

    status, code, title = 413, "body_too_large", "The request has more bytes than are accepted."


class ImageTooLarge(RequestError):
    """More pixels than are decoded."""

    status, code, title = 413, "image_too_large", "The image has more pixels than are accepted."


class UnrecognisedImage(RequestError):
    """Bytes of no known image format."""

    status, code, title = 415, "unrecognised_image", "The bytes are not an image."


class UnsupportedImage(RequestError):
    """A known format that is not accepted here."""

    status, code, title = 415, "unsupported_image", "This image format is not accepted here."


class UnsupportedEncoding(RequestError):
    """A compressed body."""

    status, code, title = 415, "unsupported_encoding", "Compressed bodies are not accepted."


class UndecodableImage(RequestError):
    """A known format, but damaged."""

    status, code, title = 422, "undecodable_image", "The image is damaged or incomplete."


class ImageTooComplex(RequestError):
    """Decoding takes more time or memory than is allowed."""

    status, code, title = 422, "image_too_complex", "Decoding the image takes more time or memory than is allowed."


class ImageTooSmall(RequestError):
    """Fewer pixels than a face needs."""

    status, code, title = 422, "image_too_small", "The image is too small to show a face."


class NoFace(RequestError):
    """No face, where the API demands one."""

    status, code, title = 422, "no_face", "No face was found."


class FaceTooSmall(RequestError):
    """Faces, but none as large as the API demands."""

    status, code, title = 422, "face_too_small", "No face is large enough."


class RateLimited(RequestError):
    """Too many requests in a short time."""

    status, code, title = 429, "rate_limited", "Too many requests in a short time."


class CallerGone(RequestError):
    """The client disconnected; only the log shows this."""

    status, code, title = 499, "caller_gone", "The caller closed the connection."


class UpstreamError(GatewayError):
    """Triton, or the way to it."""

    status, code, title = 503, "upstream_error", "The inference server cannot answer now."


class Overloaded(UpstreamError):
    """The gateway is full; Retry-After is set."""

    status, code, title = 503, "overloaded", "The service has as many requests as it can work on."


class UpstreamUnavailable(UpstreamError):
    """Not reachable, or not ready."""

    status, code, title = 503, "upstream_unavailable", "The inference server is not available."


class UpstreamOverloaded(UpstreamError):
    """Triton's queue is full; Retry-After is set."""

    status, code, title = 503, "upstream_overloaded", "The inference server is busy."


class UpstreamTimeout(UpstreamError):
    """No answer before the deadline."""

    status, code, title = 504, "upstream_timeout", "The inference server did not answer in time."


class ModelContractError(GatewayError):
    """Tensors are not what model.toml promises."""

    status, code, title = 500, "model_contract_error", "A model answered in an unexpected form."


class InternalError(GatewayError):
    """A defect here."""
