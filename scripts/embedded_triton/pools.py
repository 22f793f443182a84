"""Sizes of the shared memory in which Triton and a model's process pass tensors to each other: one pool an instance.

A pool that is too small is made larger and mapped once more, and Triton 2.51 keeps all older mappings, so what is resident counts several
times, in both processes: by steps of 1 MB, its default, pictures of 1 to 36 MB left `face_prepare` with five mappings. So pools start large
enough for a batch of a hundred faces, and grow once by what two pictures of six megapixels need (the pixels of a request go only when those
of the next are there). What a pool has is taken from /dev/shm at once: 370 MB in all, where steps of 1 MB came to 344 MB in four minutes.
"""

from __future__ import annotations

import os
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  where Triton puts its pools
FIRST_BYTES, STEP_BYTES = 2**23, 3 * 2**24
# Less than this is free (an engine gives a container 64 MB by default): Triton's own sizes, 1 MB both.
LEAST_BYTES = 3 * 2**29


def options() -> list[str]:
    """Arguments for tritonserver. The backend of our name takes its sizes from `python`."""
    if _free_bytes() < LEAST_BYTES:
        return []
    sizes = {"default": FIRST_BYTES, "growth": STEP_BYTES}
    return [f"--backend-config=python,shm-{name}-byte-size={size}" for name, size in sizes.items()]


def _free_bytes() -> int:
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize
