"""Read labelled pictures out of local clones of public repositories, without a work tree."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the raw material lies: bare clones, manifests and teachers (see README.md)."""

    clones: Path
    manifests: Path
    teachers: Path
    cache: Path

    def clone(self, repository: str) -> Path:
        """The git directory of `owner/name`. Raises FileNotFoundError when nobody cloned it."""
        owner, name = repository.split("/")
        for candidate in (f"{owner}+{name}/repo/.git", f"{owner}+{name}/repo", f"{owner}/{name}.git", f"{owner}/{name}"):
            if (self.clones / candidate).is_dir():
                return self.clones / candidate
        raise FileNotFoundError(f"no clone of {repository} under {self.clones}")

    def manifest(self, name: str, *splits: str) -> list[dict[str, str]]:
        """Rows of `manifests/<name>.csv`, restricted to `splits` when any is given."""
        with (self.manifests / f"{name}.csv").open(newline="") as file:
            return [row for row in csv.DictReader(file) if not splits or row["split"] in splits]

    def tree(self, repository: str, folder: str, revision: str = "HEAD") -> dict[str, str]:
        """Blob id by path of every file under `folder`."""
        command = ["git", "-C", str(self.clone(repository)), "ls-tree", "-r", "-z", revision, "--", folder]
        listing = subprocess.run(command, check=True, capture_output=True).stdout.decode()
        entries = (line.split("\t", 1) for line in listing.split("\0") if line)
        return {path: fields.split()[2] for fields, path in entries}

    def blobs(self, repository: str, ids: Iterable[str]) -> Iterator[bytes]:
        """Contents of blobs, in order, through one `git cat-file --batch`; empty where the clone lacks the blob."""
        command = ["git", "-C", str(self.clone(repository)), "cat-file", "--batch"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as git:
            assert git.stdin is not None
            assert git.stdout is not None
            for blob in ids:
                git.stdin.write(f"{blob}\n".encode())
                git.stdin.flush()
                header = git.stdout.readline().split()
                if header[-1] == b"missing":
                    yield b""
                else:
                    yield git.stdout.read(int(header[2]) + 1)[:-1]
            git.stdin.close()


def decode(data: bytes) -> NDArray[np.uint8] | None:
    """BGR uint8 [H,W,3], or None for a file that OpenCV cannot read."""
    if not data:
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else image.astype(np.uint8, copy=False)
