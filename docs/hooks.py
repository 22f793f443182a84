"""Lets the site's generators import this repository, wherever mkdocs was called from."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
