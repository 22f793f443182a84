"""The objects that views use, built once by `create_app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from gateway.callers.admission import Admission
from gateway.inference.analyzer import Analyzer
from gateway.inference.triton import TritonClient
from gateway.models import Catalogue
from gateway.pictures.fetch import Fetcher
from gateway.pictures.pool import Decoders
from gateway.pictures.store import PictureStore
from gateway.settings import Settings

KEY = "vultus"


@dataclass(frozen=True, slots=True)
class Services:
    """The application's collaborators."""

    settings: Settings
    catalogue: Catalogue
    triton: TritonClient
    decoders: Decoders
    analyzer: Analyzer
    admission: Admission
    fetcher: Fetcher
    pictures: PictureStore


def services() -> Services:
    """Services of the current application."""
    return cast(Services, current_app.extensions[KEY])
