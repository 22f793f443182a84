"""How glibc keeps freed memory, for processes whose threads pass pictures around; an operator's own variables come first.

By default each thread soon has an arena of its own (up to eight a processor), and pictures of changing sizes stay behind as holes in all
of them. Two arenas keep Triton's resident memory flat and cost no processor time. Mapping every block from 1 MiB on
(MALLOC_MMAP_THRESHOLD_) keeps less still, but cost about 15 % more processor time a request in page faults.
"""

from __future__ import annotations

MALLOC = {"MALLOC_ARENA_MAX": "2"}
