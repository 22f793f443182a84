"""Python client of a Vultus service: `Client` and its asynchronous twin `AsyncClient`.

    with vultus.Client("http://127.0.0.1:8080") as client:
        for face in client.analyze("photo.jpg", attributes=["age", "emotion"]).faces:
            print(face.box, face.age, face.emotion.dominant)

Results are the models from which the service's OpenAPI document is made. Importing this needs neither Flask nor OpenCV nor Triton's client.
"""

from __future__ import annotations

from importlib.metadata import version

from gateway.v1_schema import AttributeOut as Attribute
from gateway.v1_schema import FaceOut as Face
from gateway.v1_schema import Health
from vultus.analysis import Analysis, to_dataframe
from vultus.asynchronous import AsyncClient
from vultus.client import Client
from vultus.errors import (
    ConnectionBroken,
    ImageRefused,
    KeyRefused,
    LimitReached,
    RequestRefused,
    ServiceError,
    ServiceFailed,
    ServiceUnavailable,
    TimedOut,
    UnexpectedAnswer,
    Unreachable,
    VultusError,
)
from vultus.image import Image

__version__ = version("vultus")

__all__ = [
    "Analysis",
    "AsyncClient",
    "Attribute",
    "Client",
    "ConnectionBroken",
    "Face",
    "Health",
    "Image",
    "ImageRefused",
    "KeyRefused",
    "LimitReached",
    "RequestRefused",
    "ServiceError",
    "ServiceFailed",
    "ServiceUnavailable",
    "TimedOut",
    "UnexpectedAnswer",
    "Unreachable",
    "VultusError",
    "__version__",
    "to_dataframe",
]
