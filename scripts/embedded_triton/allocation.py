"""How glibc keeps freed memory, for processes whose threads pass pictures around.

By default each thread soon has an arena of its own (up to eight a processor), and pictures of changing sizes stay behind as holes in all
of them: glibc takes a block of up to 32 MB from the heap as soon as one of that size has been freed once. Here everything from 8 MB, more
than 1920x1080 pixels, goes back to the system when it is freed, and the end of the heap when 8 MB of it are free. From 1 MB on cost
models a fifth of their throughput, when all processes had that threshold; for the gateway it is among the levers of scripts/benchmark.py.
An operator's own variables come first, in the gateway and in Triton.
"""

from __future__ import annotations

MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(2**23), "MALLOC_TRIM_THRESHOLD_": str(2**23)}
# Triton itself passes on blocks of one to a few MB, one at a time: kept, they leave its heap full of holes. Processes of models, which need
# the same blocks for every run, go back to the other threshold (onnxruntime/model.py).
TRITON_MALLOC = {**MALLOC, "MALLOC_MMAP_THRESHOLD_": str(2**20), "MALLOC_TRIM_THRESHOLD_": str(2**20)}
