"""The folder `models` in the deployment's data: added models, composed repositories one behind the other, and which one is in force.

added/NAME is a wrapped model (config.pbtxt, model.toml, adapter.toml, accepted.json, 1/model.onnx); generations/0001 a composed
repository, complete and never changed; current a link to one of them. Without it the built-in repository is served.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import GatewayError
from gateway.inference.analyzer import Analyzer
from gateway.models import ATTRIBUTE_MODELS, ENSEMBLE, read_catalogue
from gateway.pictures.decoding import decode, rules_of
from gateway.settings import COMPOSED, REPOSITORY, Settings
from scripts.pipeline import DirectPipeline
from scripts.slots import compose
from scripts.slots.contract import PHOTO, Refused, slot_of

KEPT = 25  # composed repositories; a running service may be some choices behind


class Store:
    """Added models and choices of one deployment."""

    def __init__(self, data: Path) -> None:
        self._link = data / COMPOSED
        self._root = self._link.parent
        self.added, self._generations = self._root / "added", self._root / "generations"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Held by whoever changes anything. Raises Refused when another command does."""
        for folder in (self.added, self._generations):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Refused("Another `vultus models` is at work in this folder of data.") from None
            yield

    @property
    def current(self) -> Path:
        """The repository in force."""
        return self._link.resolve() if self._link.exists() else REPOSITORY

    def folder(self, model: str) -> Path:
        """Of a built-in or an added model. Raises Refused."""
        for folder in (REPOSITORY / model, self.added / model):
            if (model in ATTRIBUTE_MODELS or folder.parent == self.added) and (folder / "model.toml").exists():
                return folder
        known = ", ".join((*ATTRIBUTE_MODELS, *self.names()))
        raise Refused(f"There is no model {model!r} here; there are {known}. `vultus models add` and `install` add others.")

    def names(self) -> list[str]:
        """Of the added models."""
        return sorted(path.parent.name for path in self.added.glob("*/model.toml"))

    def use(self, changes: compose.Choice) -> None:
        """Put the models of `changes` in force; nothing changes when they do not work together. Raises Refused."""
        for slot, weights in changes.items():
            for model in weights:
                if slot_of(slot).attribute not in compose.fills(self.folder(model)):
                    raise Refused(f"{model} does not fill {slot}; it fills {', '.join(compose.fills(self.folder(model)))}.")
        built_in = {output.attribute: {output.model} for output in read_catalogue(REPOSITORY).outputs}
        choice = compose.read(self.current) | {slot: dict(weights) for slot, weights in changes.items()}
        self._switch({slot: weights for slot, weights in choice.items() if set(weights) != built_in[slot]})

    def refresh(self) -> bool:
        """Compose the choice in force again where the built-in models changed or moved. Returns whether that was needed."""
        if not self._link.is_symlink():
            return False
        with self.locked():
            last = self._link.resolve()
            with tempfile.TemporaryDirectory(dir=self._root) as folder:
                fresh = Path(folder)
                compose.write(fresh, compose.read(last), self.added, means=last)
                if _look(fresh) == _look(last):
                    return False
            self._switch(compose.read(last), means=last)
        return True

    def rollback(self) -> str:
        """Put the repository before the one in force in its place, at last the built-in one. Returns its name. Raises Refused."""
        if not self._link.is_symlink():
            raise Refused("The built-in models are in force: there is nothing to go back to.")
        older = [folder for folder in self._numbered() if folder.name < self._link.resolve().name]
        self._point(older[-1] if older else None)
        return older[-1].name if older else "built-in"

    def put_back(self, refused: Path, served: Path) -> None:
        """Put `served` in force again, where `refused` is, which a running service could not take over. Raises Refused."""
        with self.locked():
            if self.current == refused:
                self._point(self._generations / served.name if served != REPOSITORY else None)

    def remove(self, model: str) -> None:
        """Forget an added model. Raises Refused while it is in use."""
        if model not in self.names():
            raise Refused(f"{model!r} is not among the added models: {', '.join(self.names()) or 'there are none'}.")
        using = [slot for slot, weights in compose.read(self.current).items() if model in weights]
        if using:
            raise Refused(f"{model} fills {', '.join(using)}: give the slot to another first (vultus models use {using[0]}=builtin).")
        shutil.rmtree(self.added / model)

    def _switch(self, choice: compose.Choice, means: Path | None = None) -> None:
        """Write the next repository beside the others, try it, and point to it. What fails leaves no trace."""
        if not choice:
            self._point(None)
            return
        numbered = self._numbered()
        target = self._generations / f"{int(numbered[-1].name) + 1 if numbered else 1:04d}"
        part = Path(tempfile.mkdtemp(dir=self._generations, prefix="part-"))
        try:
            compose.write(part, choice, self.added, means)
            _try(part)
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._point(target)
        for old in self._numbered()[:-KEPT]:
            shutil.rmtree(old)

    def _point(self, target: Path | None) -> None:
        """In one step: who looks finds the old one or the new one."""
        if target is None:
            self._link.unlink(missing_ok=True)
            return
        fresh = self._link.with_name("next")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target.relative_to(self._root), target_is_directory=True)
        os.replace(fresh, self._link)

    def _numbered(self) -> list[Path]:
        return sorted(folder for folder in self._generations.glob("*") if folder.name.isdigit())


def _look(repository: Path) -> tuple[str, list[tuple[str, bool, Path | None]]]:
    """What must be the same for two composed repositories to serve the same."""
    folders = sorted(path for path in repository.iterdir() if path.is_dir())
    links = [(path.name, path.exists(), path.resolve() if path.is_symlink() else None) for path in folders]
    return (repository / ENSEMBLE / "config.pbtxt").read_text(), links


def _try(repository: Path) -> None:
    """One whole analysis by the composed repository, in this process. Raises Refused."""
    settings = Settings()
    picture = decode(PHOTO.read_bytes(), rules_of(settings), settings.working_side_px)
    try:
        catalogue = read_catalogue(repository)
        names = tuple(output.attribute for output in catalogue.outputs)
        faces = Analyzer(DirectPipeline(repository), catalogue).analyze(picture, names).faces
    except GatewayError as problem:
        raise Refused(f"The models do not work together: {problem}") from None
    except Exception as problem:  # noqa: BLE001  ONNX Runtime's own classes are not documented
        raise Refused(f"The models do not work together: {str(problem).splitlines()[0]}") from None
    if len(faces) != 1:
        raise Refused(f"The models find {len(faces)} faces in {PHOTO.name}, which shows one.")
