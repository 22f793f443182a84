"""Names and sizes of the shared memory in which Triton and a model's process pass tensors to each other: one pool an instance.

A pool that is too small is made larger and mapped once more, and Triton 2.51 keeps all older mappings, so what is resident counts several
times, in both processes: by steps of 1 MB, its default, pictures of 1 to 36 MB left `face_prepare` with five mappings. So pools start large
enough for a batch of a hundred faces, and grow once by what two pictures of six megapixels need (the pixels of a request go only when those
of the next are there). What a pool has is taken from /dev/shm at once.

Its pages count as resident only when they are first used, though, and two large pictures meet in one instance by chance, minutes or hours
after the start: memory seemed to grow by 9 or 18 MB now and then. `face_prepare` and `face_align` are therefore warmed up by a picture as
large as the step; with it all pools together hold 350 MB from the start. Where /dev/shm has no room for that, they are not (SMALL_PROFILE).
"""

from __future__ import annotations

import os
import re
import socket
import zlib
from collections.abc import Sequence
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  where Triton puts its pools
FIRST_BYTES, STEP_BYTES = 2**23, 3 * 2**24
# So much has to be free for that (an engine gives a container 64 MB by default).
LEAST_BYTES = 3 * 2**29
# The name of that warm-up, and of the configuration without it.
WARM_UP, SMALL_PROFILE = "pool", "small_pools"
PROFILE_OPTION = "--model-config-name"


def options(given: Sequence[str] = ()) -> list[str]:
    """Arguments for a tritonserver that this process starts or becomes, besides those `given`.

    The backend of our name takes its sizes from `python`.
    """
    found = [f"--backend-config={backend},shm-region-prefix-name={_prefix(os.getpid())}" for backend in ("python", "onnxruntime")]
    if _free_bytes() >= LEAST_BYTES:  # else Triton's own sizes, 1 MB both
        sizes = {"default": FIRST_BYTES, "growth": STEP_BYTES}
        found += [f"--backend-config=python,shm-{name}-byte-size={size}" for name, size in sizes.items()]
    elif not any(option.startswith(PROFILE_OPTION) for option in given):
        found.append(f"{PROFILE_OPTION}={SMALL_PROFILE}")
    return found


def shortage() -> str:
    """What an operator should know about too little shared memory, if there is too little."""
    free_mb, wanted_mb = _free_bytes() >> 20, LEAST_BYTES >> 20
    if free_mb >= wanted_mb:
        return ""
    return (
        f"{SHARED_MEMORY} has {free_mb} MB free, less than the {wanted_mb} MB that Triton's models want for large photographs, "
        "which may be refused. A container gets it by --shm-size=2g."
    )


def sweep() -> None:
    """Remove what was left by servers of this process and of dead ones: a killed server, or a container that was started again."""
    if not SHARED_MEMORY.is_dir():
        return
    for pool in SHARED_MEMORY.glob(f"{_machine()}*"):
        pid = re.match(r"\d+", pool.name.removeprefix(_machine()))
        if pid and (int(pid[0]) == os.getpid() or not Path(f"/proc/{pid[0]}").exists()):
            pool.unlink(missing_ok=True)


def _prefix(pid: int) -> str:
    return f"{_machine()}{pid}_"


def _machine() -> str:
    """Containers that share the volume have other names: one must not take another's processes for dead."""
    return f"vultus_{zlib.crc32(socket.gethostname().encode()):08x}_"


def _free_bytes() -> int:
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize
