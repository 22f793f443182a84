"""The two ways to an analysis: the gateway over HTTP, or Triton over gRPC with the gateway's own decoder and analyzer in this process.

Both raise `Failed` for a picture that cannot be analysed and `Stop` when no further picture could be.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import click

import vultus
from gateway import errors
from gateway.v1_schema import AnalysisOut
from vultus.connection import Order


class Failed(Exception):
    """One picture was not analysed. `code` is that of the gateway's errors, or one of the client's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Stop(click.ClickException):
    """Nothing more can be done. Its `exit_code` becomes that of the program."""


class Gone(Stop):
    """The service cannot be reached."""

    exit_code = 3


class Refused(Stop):
    """The request is refused, and would be for every picture."""

    exit_code = 2


class Unwritten(Stop):
    """The answers cannot be written where they should go."""

    exit_code = 4


# Failures without a code of the service.
OWN_CODES: dict[type[vultus.VultusError], str] = {
    vultus.TimedOut: "timed_out",
    vultus.ConnectionBroken: "connection_broken",
    vultus.UnexpectedAnswer: "unexpected_answer",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """As the fields of /v1's AnalyzeOptions; None: the service's default."""

    attributes: Sequence[str] | None = None
    max_faces: int | None = None
    min_confidence: float | None = None
    min_face_px: int | None = None
    order: Order | None = None


SELECTED = ("max_faces", "min_confidence", "min_face_px", "order")


class Service(Protocol):
    """Where pictures are analysed. May be used by many threads."""

    def offered(self) -> list[str]:
        """Names of the attributes that can be asked for. Raises Stop."""

    def analyze(self, image: Path | bytes | str, wanted: Wanted) -> AnalysisOut:
        """Raises Failed, Stop, OSError."""


class Gateway:
    """A gateway, over HTTP."""

    def __init__(self, client: vultus.Client) -> None:
        self._client = client

    def offered(self) -> list[str]:
        """As Service."""
        try:
            return [attribute.name for attribute in self._client.attributes()]
        except vultus.VultusError as error:
            raise Gone(str(error)) from error

    def analyze(self, image: Path | bytes | str, wanted: Wanted) -> AnalysisOut:
        """As Service."""
        with told():
            return self._client.analyze(
                image,
                attributes=wanted.attributes,
                max_faces=wanted.max_faces,
                min_confidence=wanted.min_confidence,
                min_face_px=wanted.min_face_px,
                order=wanted.order,
            )


@contextmanager
def told() -> Iterator[None]:
    """Around a call of the client: its errors become Failed, where the next picture may do better, or Stop."""
    try:
        yield
    except (vultus.KeyRefused, vultus.RequestRefused) as error:
        raise Refused(str(error)) from error
    except vultus.Unreachable as error:
        raise Gone(str(error)) from error
    except vultus.ServiceError as error:
        if error.code == errors.UpstreamUnavailable.code:
            raise Gone(str(error)) from error
        raise Failed(error.code, f"{error} (request {error.request_id})") from error
    except vultus.VultusError as error:
        raise Failed(OWN_CODES[type(error)], str(error)) from error


class Triton:
    """A Triton server, over gRPC. Needs the model repository that it serves, for the meaning of the tensors."""

    def __init__(self, address: str, timeout_s: float) -> None:
        from gateway.inference.analyzer import Analyzer
        from gateway.inference.triton import TritonClient
        from gateway.models import read_catalogue
        from gateway.pictures.decoding import rules_of
        from gateway.settings import Settings

        settings = Settings()
        try:
            catalogue = read_catalogue(settings.model_repository)
        except OSError:
            raise Refused(f"There is no model repository in {settings.model_repository}; set VULTUS_MODEL_REPOSITORY.") from None
        self._address, self._triton = address, TritonClient(address, timeout_s)
        self._analyzer, self._offered = Analyzer(self._triton, catalogue), [output.attribute for output in catalogue.outputs]
        self._rules, self._working_side_px = rules_of(settings), settings.working_side_px

    def offered(self) -> list[str]:
        """As Service."""
        if not self._triton.is_ready():
            raise Gone(
                f"No Triton at {self._address} is ready to serve face_analysis. Is it running there? On its machine, `vultus doctor` looks."
            )
        return self._offered

    def analyze(self, image: Path | bytes | str, wanted: Wanted) -> AnalysisOut:
        """As Service."""
        from gateway.apis.v1 import render_analysis
        from gateway.pictures.decoding import decode
        from gateway.selection import Selection

        if isinstance(image, str):
            raise Refused("Triton fetches no pictures by address; ask a gateway, or download them.")
        try:
            picture = decode(image if isinstance(image, bytes) else image.read_bytes(), self._rules, self._working_side_px)
            analysis = self._analyzer.analyze(picture, self._analyzer.by_default if wanted.attributes is None else wanted.attributes)
        except errors.UpstreamUnavailable as error:
            raise Gone(str(error)) from error
        except errors.GatewayError as error:
            raise Failed(error.code, str(error)) from error
        asked = {name: getattr(wanted, name) for name in SELECTED if getattr(wanted, name) is not None}
        return render_analysis(analysis, Selection(**asked), uuid.uuid4().hex)
