"""`gov`: the command line. Needs the extra ``cli``; nothing else imports it."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openfeature_gov.cli.tree import app

__all__ = ["app", "main"]

_EXTRA = frozenset({"typer", "rich"})


def main() -> None:
    """Run the command line; exit 2 with one line where the extra is missing."""
    try:
        from openfeature_gov.cli.tree import app as tree  # noqa: PLC0415 - the extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(
            "gov needs typer and rich: pip install 'openfeature-gov[cli]'\n"
        )
        raise SystemExit(2) from None
    for stream in (sys.stdout, sys.stderr):
        # A locale without these characters gets escapes instead of a traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    tree(prog_name="gov")


def __getattr__(name: str) -> Any:
    if name == "app":
        from openfeature_gov.cli.tree import app as tree  # noqa: PLC0415 - the extra

        return tree
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
