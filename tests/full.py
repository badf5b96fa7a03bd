"""How much of a long test runs: a share, or with ``GOV_FULL=1`` all of it.

``GOV_FULL=1 python -m pytest -n 4 --dist worksteal`` runs everything at the numbers
that the project promises; without it the same tests run on fewer cases.
"""

from __future__ import annotations

import os

FULL = os.environ.get("GOV_FULL") == "1"


def share(whole: int, *, of: int = 10) -> int:
    """Return *whole*, or one part in *of* where not everything is to run."""
    return whole if FULL else max(1, whole // of)
