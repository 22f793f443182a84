"""Becomes a program that ends with the process that started it: `python -I -S launch.py PARENT [--closed] PROGRAM OPTION...`.

PARENT is that process's number: when it ends, however it does, the kernel kills the program (prctl(2), PR_SET_PDEATHSIG). What the program
writes is for its own user only.

--closed is for Triton. The library that makes the pools of its Python backend (Boost.Interprocess) gives each the mode 0644 by fchmod(2),
whatever the umask says: that call is refused to Triton and its processes (seccomp(2)), so pools have the mode 0600 from their first
moment. And it lets its parent conceal an argument (concealed.py): it stops when the program is loaded, before that runs.

Standard library only, without site-packages.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import sys

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 1, 38, 22, 2
PTRACE_TRACEME = 0
# By machine: its name in seccomp filters (linux/audit.h) and the number of fchmod.
MACHINES = {"x86_64": (0xC000003E, 91), "aarch64": (0xC00000B7, 52)}
EPERM = 1
# Classic BPF: load a word, jump where equal, return (linux/bpf_common.h); and what a filter returns (linux/seccomp.h).
LOAD, JUMP_IF_EQUAL, RETURN, ALLOW, FAIL = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000
NUMBER_AT, MACHINE_AT = 0, 4

OPEN_POOLS = "Without seccomp other users of this machine can read the shared memory of Triton's models."

libc = ctypes.CDLL(None, use_errno=True)


def end_with(parent: int) -> None:
    """Kill this process when its parent ends, or now when it has ended already."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def refuse_fchmod() -> bool:
    """Make fchmod fail in this process and all that it starts. Whether that is possible here."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return False
    name, fchmod = machine
    steps = [
        (LOAD, 0, 0, MACHINE_AT),
        (JUMP_IF_EQUAL, 0, 2, name),
        (LOAD, 0, 0, NUMBER_AT),
        (JUMP_IF_EQUAL, 1, 0, fchmod),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, FAIL | EPERM),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    filter_ = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    return not libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) and not libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_, 0, 0)


def wait_for_parent() -> None:
    """Stop here, when the next program is loaded; or now, where the parent must not look into this process."""
    if libc.ptrace(PTRACE_TRACEME, 0, 0, 0):
        os.kill(os.getpid(), signal.SIGSTOP)


def main(parent: str, *command: str) -> None:
    """Command line. Raises OSError: no such program."""
    end_with(int(parent))
    os.umask(0o077)
    if command[0] == "--closed":
        command = command[1:]
        if not refuse_fchmod():
            sys.stderr.write(f"{OPEN_POOLS}\n")
        wait_for_parent()
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])
