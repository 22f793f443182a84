#!/usr/bin/env python3
"""Prepares an environment, then runs scripts/fuzzing in it. See --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.environment import run_inside

run_inside("scripts.fuzzing", ["embedded", "dev"])
