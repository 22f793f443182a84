"""CompreFace's Python SDK, imported as it is.

It pins requests-toolbelt 0.9.1, which imports urllib3.contrib.appengine. urllib3 2 has none, and tritonclient needs urllib3 2. So an empty
module stands in its place; nothing calls it.
"""

from __future__ import annotations

import sys
from types import ModuleType

import urllib3.contrib

if not hasattr(urllib3.contrib, "appengine"):
    stand_in = ModuleType("urllib3.contrib.appengine")
    sys.modules[stand_in.__name__] = stand_in
    urllib3.contrib.appengine = stand_in  # type: ignore[attr-defined]

from compreface import CompreFace

__all__ = ["CompreFace"]
