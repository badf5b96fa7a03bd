"""Where this tree is, and where a program that a test starts finds its packages."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATH = os.pathsep.join(str(ROOT / name) for name in ("", "providers", "rollout"))
"""What such a program needs as ``PYTHONPATH``."""
