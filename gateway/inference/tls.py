"""How the gateway and Triton prove to each other who they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: authorities that sign Triton's certificate (None: gRPC's), and, if it has one, the gateway's certificate and key."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def arguments(self) -> dict[str, object]:
        """For tritonclient's InferenceServerClient, which reads the files when it is made."""
        files = {"root_certificates": self.authority, "certificate_chain": self.certificate, "private_key": self.key}
        return {"ssl": True, **{name: str(path) for name, path in files.items() if path}}
