"""Everything that can go wrong, by what a caller can do about it.

    VultusError
    +-- Unreachable             no connection: wrong address, or nothing runs there
    +-- TimedOut                no answer within timeout_s
    +-- ConnectionBroken        the connection ended before the answer
    +-- UnexpectedAnswer        the answer is not one of a Vultus service (a proxy? another program?)
    +-- ServiceError            the service said what is wrong: code, status, request_id
        +-- RequestRefused      mend the request
        +-- ImageRefused        this image cannot be analysed; others can
        +-- KeyRefused          no key, an unknown one, or a suspended account
        +-- LimitReached        quota or rate; see retry_after_s
        +-- ServiceUnavailable  try again later
        +-- ServiceFailed       a defect of the service

`code` is stable and finer than the classes; the codes are those of gateway/errors.py.
"""

from __future__ import annotations


class VultusError(Exception):
    """Base of everything that the client raises, except for an image file that cannot be read (OSError)."""


class Unreachable(VultusError):
    """No connection could be made."""


class TimedOut(VultusError):
    """No answer came in time."""


class ConnectionBroken(VultusError):
    """The connection ended before the answer was complete."""


class UnexpectedAnswer(VultusError):
    """Something answered, but not in the words of a Vultus service. `status` is its HTTP status."""

    def __init__(self, message: str, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


class ServiceError(VultusError):
    """A problem that the service described (RFC 9457).

    `code` is machine-readable, `status` the HTTP status, `request_id` what the service's log calls this request,
    `retry_after_s` how long the service asks to wait (None: it does not say).
    """

    def __init__(self, title: str, *, code: str, status: int, request_id: str, detail: str | None, retry_after_s: float | None) -> None:
        super().__init__(detail or title)
        self.title, self.code, self.status = title, code, status
        self.request_id, self.detail, self.retry_after_s = request_id, detail, retry_after_s


class RequestRefused(ServiceError):
    """The request cannot be served as it is."""


class ImageRefused(ServiceError):
    """The image cannot be analysed."""


class KeyRefused(ServiceError):
    """A key is needed, or this one is not accepted."""


class LimitReached(ServiceError):
    """The key's quota or rate is used up."""


class ServiceUnavailable(ServiceError):
    """The service is busy, starting or without its inference server."""


class ServiceFailed(ServiceError):
    """A defect of the service."""


BY_CODE: dict[str, type[ServiceError]] = {
    "missing_image": RequestRefused,
    "image_without_name": RequestRefused,
    "unsupported_encoding": RequestRefused,
    "invalid_parameter": RequestRefused,
    "malformed_body": RequestRefused,
    "too_many_images": RequestRefused,
    "download_failed": RequestRefused,
    "unknown_path": RequestRefused,
    "method_not_allowed": RequestRefused,
    "upload_too_slow": RequestRefused,
    "caller_gone": RequestRefused,
    "empty_image": ImageRefused,
    "body_too_large": ImageRefused,
    "image_too_large": ImageRefused,
    "unrecognised_image": ImageRefused,
    "unsupported_image": ImageRefused,
    "undecodable_image": ImageRefused,
    "image_too_complex": ImageRefused,
    "image_too_small": ImageRefused,
    "no_face": ImageRefused,
    "face_too_small": ImageRefused,
    "key_missing": KeyRefused,
    "key_invalid": KeyRefused,
    "account_suspended": KeyRefused,
    "quota_exceeded": LimitReached,
    "rate_limited": LimitReached,
    "overloaded": ServiceUnavailable,
    "upstream_unavailable": ServiceUnavailable,
    "upstream_overloaded": ServiceUnavailable,
    "upstream_timeout": ServiceUnavailable,
    "model_contract_error": ServiceFailed,
    "internal_error": ServiceFailed,
}


def kind_of(code: str, status: int) -> type[ServiceError]:
    """The class of a code; that of the status for codes younger than this client."""
    by_status = RequestRefused if status < 500 else ServiceUnavailable if status in (503, 504) else ServiceFailed
    return BY_CODE.get(code, by_status)
