"""`gov`: the command line. Needs the extra ``cli``; nothing else imports it."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
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
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        # A locale without these characters gets escapes instead of a traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    tree(prog_name="gov")


def _open_streams() -> None:
    """Put the null device in the place of each standard stream that is closed.

    A file that is opened later would take its number, and what is printed would end
    in it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - stays
            setattr(sys, name, null)


def __getattr__(name: str) -> Any:
    if name == "app":
        from openfeature_gov.cli.tree import app as tree  # noqa: PLC0415 - the extra

        return tree
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
