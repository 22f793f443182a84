"""Starts a program with an argument that other users of this machine cannot read.

Everybody may read the arguments of every process (`ps`, /proc/PID/cmdline), and Triton takes the secret of its restricted protocols from
nowhere else; its environment only its own user may read. So the program gets a placeholder as argument and the true one in its
environment. While it is loaded but does not run yet (launch.py), its parent lets it find the latter in place of the former: Linux shows
the place where the arguments were put at first. Where that is not allowed, the placeholder stays.
"""

from __future__ import annotations

import ctypes
import io
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LAUNCH = Path(__file__).with_name("launch.py")
VARIABLE = "VULTUS_CONCEALED"
PTRACE_DETACH = 17
WORD = struct.calcsize("P")
# Of the fields of /proc/PID/stat that follow the name: where the stack begins, where the environment begins and ends.
STACK, ENVIRONMENT, ENVIRONMENT_END = 25, 47, 48


def start(command: Sequence[str], placeholder: str, argument: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start `command`, whose output is to be read, with `argument` for `placeholder`, in a session of its own. It ends with this thread."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), "--closed", *command],
        env={**environment, VARIABLE: argument},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    stopped = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
    if stopped and stopped.si_status == signal.SIGTRAP:
        _replace(process.pid, placeholder.encode(), argument.encode())
        ctypes.CDLL(None).ptrace(PTRACE_DETACH, process.pid, None, None)
    elif stopped and stopped.si_status == signal.SIGSTOP:
        process.send_signal(signal.SIGCONT)
    return process


def _replace(pid: int, placeholder: bytes, argument: bytes) -> None:
    """Let the pointer to the one lead to the other. The stack begins with the number of arguments and the pointers to them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    stack, begin, end = (int(fields[number]) for number in (STACK, ENVIRONMENT, ENVIRONMENT_END))
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        target = begin + _read(memory, begin, end - begin).index(VARIABLE.encode() + b"=" + argument) + len(VARIABLE) + 1
        count, *_ = struct.unpack("P", _read(memory, stack, WORD))
        pointers = struct.unpack(f"{count}P", _read(memory, stack + WORD, count * WORD))
        (place,) = [at for at, pointer in enumerate(pointers) if _read(memory, pointer, len(placeholder)) == placeholder]
        memory.seek(stack + (1 + place) * WORD)
        memory.write(struct.pack("P", target))


def _read(memory: io.FileIO, at: int, count: int) -> bytes:
    memory.seek(at)
    return memory.read(count) or b""
