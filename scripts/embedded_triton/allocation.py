"""How glibc keeps freed memory, for processes whose threads pass pictures around; an operator's own variables come first.

By default each thread soon has an arena of its own (up to eight a processor), and pictures of changing sizes stay behind as holes in all
of them. In single runs of scripts/soak.py of 100 s each on a busy machine Triton grew from 597 to 606 MB with two arenas and from 558 to
702 MB with the default. It does not stop growth: over 30 minutes all processes together still grew by 12 MB a minute.
"""

from __future__ import annotations

MALLOC = {"MALLOC_ARENA_MAX": "2"}
