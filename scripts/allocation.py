"""How glibc keeps freed memory, for processes whose threads pass pictures around; an operator's own variables come first.

By default each thread soon has an arena of its own, and the threshold above which a block is mapped, and so given back when it is freed,
climbs to 32 MB with the blocks that it sees: pictures of changing sizes then stay behind as holes in many arenas.
"""

from __future__ import annotations

MALLOC = {
    "MALLOC_ARENA_MAX": "4",
    "MALLOC_MMAP_THRESHOLD_": str(2**20),  # bytes
    "MALLOC_TRIM_THRESHOLD_": str(8 * 2**20),
}
