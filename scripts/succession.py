"""Other models without a pause: a second scripts/serve, on the same listening socket, takes the place of what runs.

`vultus models use` and `rollback` put another composed repository in force. The successor starts a Triton and a gateway of its own and
analyses a picture before its gateway accepts anything. Then the predecessor finishes what it has accepted and ends. Each request is
answered by one of the two, from the models of one choice. Until then both are in memory.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from pydantic import SecretStr

from gateway.errors import GatewayError
from gateway.settings import Settings, repository_in_force
from scripts.embedded_triton.concealed import LAUNCH

ROOT = Path(__file__).resolve().parent.parent
LOOK_EVERY_S, SECOND_SIGNAL_S = 0.2, 0.2
REPLACED = signal.SIGUSR1  # to a successor: another one answers in its place now


class Failure(Exception):
    """Why serving cannot start or go on, in one line."""


class Succession:
    """Watches which repository is in force, and starts a successor when it is another one.

    `await_gateway` waits until a gateway at an address is ready while its process lives (raises Failure); `say` tells the operator.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        listener: socket.socket,
        stop: threading.Event,
        await_gateway: Callable[[str, subprocess.Popen[bytes], threading.Event], None],
        say: Callable[[str], None],
    ) -> None:
        self._options, self._listener, self._await_gateway, self._say = options, listener, await_gateway, say
        self._served: Path = options.model_repository
        self._refused: Path | None = None
        self._data = Settings().data
        self._stop = stop
        self.running: subprocess.Popen[bytes] | None = None
        self.replaced = False  # whether another one answers at the address: nobody has to be warned of the end of this one
        signal.signal(REPLACED, self._be_replaced)

    def took_over(self) -> bool:
        """Whether a successor serves now that did not before. What cannot serve leaves everything as it was, the choice included."""
        wanted = repository_in_force({"data": self._data})
        if self._options.keep_models or wanted in (self._served, self._refused):
            return False
        self._say(f"other models were chosen: starting them beside the present ones ({wanted.name})")
        successor, base = self._start(wanted)
        try:
            self._await_gateway(base, successor, self._stop)
        except Failure:
            end(successor)
            self._refused = wanted
            self._go_back(wanted)
            return False
        if self._stop.is_set():
            end(successor)
            return False
        former, self.running, self._served, self.replaced = self.running, successor, wanted, True
        if former:
            end(former, REPLACED)
        self._say(f"the models that were chosen are served ({wanted.name})")
        return True

    def go_on(self) -> None:
        """While a successor serves: until told to stop, which ends it, or until it ends by itself (raises Failure)."""
        while not self._stop.wait(LOOK_EVERY_S):
            if self.running is None or self.running.poll() is not None:
                raise Failure("The service ended unexpectedly; its messages are above.")
            self.took_over()
        self._listener.close()
        if self.running:
            end(self.running)

    def _be_replaced(self, number: int, frame: FrameType | None) -> None:
        self.replaced = True
        self._stop.set()

    def _start(self, repository: Path) -> tuple[subprocess.Popen[bytes], str]:
        """The successor, and an address at which only its gateway answers."""
        with socket.socket() as private:
            private.bind(("127.0.0.1", 0))
            files = (self._listener.fileno(), private.fileno())
            command = [
                *(sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid())),
                *(sys.executable, "-m", "scripts.serving", *self._arguments(), "--keep-models", f"--model-repository={repository}"),
                *(f"--listener={file}" for file in files),
            ]
            process = subprocess.Popen(command, cwd=ROOT, pass_fds=files, start_new_session=True)
            return process, f"http://127.0.0.1:{private.getsockname()[1]}"

    def _arguments(self) -> list[str]:
        """Of this scripts/serve, but for the ports of Triton, which are still taken."""
        given = self._options
        values = {"host": given.host, "workers": given.workers, "triton-host": given.triton_host, "device": given.device}
        values |= {"port": self._listener.getsockname()[1], "grpc-port": 0, "metrics-port": 0}
        optional = {"threads": given.threads, "trace-endpoint": given.trace_endpoint}
        values |= {name: value for name, value in optional.items() if value}
        flags = [f"--{name}" for name in ("insecure-open", "verbose") if getattr(given, name.replace("-", "_"))]
        return [*(f"--{name}={value}" for name, value in values.items()), *flags]

    def _go_back(self, refused: Path) -> None:
        from scripts.slots.contract import Refused
        from scripts.slots.store import Store

        self._say(f"the models that were chosen do not serve ({refused.name}): the present ones stay, and are the choice again")
        with contextlib.suppress(Refused):  # somebody is choosing others
            Store(self._data).put_back(refused, self._served)


def analyse_once(address: str, secret: str, repository: Path) -> None:
    """One whole analysis by a Triton that nobody asks yet. Raises Failure."""
    from gateway.inference.analyzer import Analyzer
    from gateway.inference.triton import TritonClient
    from gateway.models import read_catalogue
    from gateway.pictures.decoding import decode, rules_of

    settings, photograph = Settings(), ROOT / "tests" / "pictures" / "astronaut.jpg"
    client = TritonClient(address, 60.0, shared_memory=False, secret=SecretStr(secret))
    try:
        picture = decode(photograph.read_bytes(), rules_of(settings), settings.working_side_px)
        catalogue = read_catalogue(repository)
        found = Analyzer(client, catalogue).analyze(picture, [output.attribute for output in catalogue.outputs]).faces
    except (GatewayError, OSError, ValueError) as problem:
        raise Failure(f"The models do not answer: {problem}") from None
    finally:
        client.close()
    if len(found) != 1:
        raise Failure(f"The models find {len(found)} faces in {photograph.name}, which shows one.")


def end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """Let a scripts/serve finish its requests and end; it takes care of what it started."""
    process.send_signal(how)
    process.wait()
