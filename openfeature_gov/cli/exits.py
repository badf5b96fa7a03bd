"""What the exit code says, and which expected error leads to which."""

from __future__ import annotations

from enum import IntEnum

from openfeature.exception import OpenFeatureError

from openfeature.contrib.provider.featbit.errors import FeatBitEditError
from openfeature_gov.allowances.rates import RatesDownError
from openfeature_gov.errors import (
    IdentityError,
    InvalidCallError,
    InvalidContractError,
    RecordStoreError,
)
from openfeature_gov.targets import RefusedError, UnreachableError


class Exit(IntEnum):
    """The exit codes of every command. A promise: they do not change meaning."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    PENDING = 5


MEANING = (
    "Exit codes: 0 done or allowed; 1 unexpected (a kill that took effect but could "
    "not be recorded is one); 2 wrong usage; 3 a file, database or server cannot be "
    "reached or read; 4 check failed, not allowed, or refused; 5 waits for approval."
)


EXPECTED: tuple[tuple[type[Exception], Exit], ...] = (
    (RefusedError, Exit.REFUSED),
    (UnreachableError, Exit.UNREACHABLE),
    (InvalidCallError, Exit.USAGE),
    (FeatBitEditError, Exit.USAGE),
    (InvalidContractError, Exit.UNREACHABLE),
    (IdentityError, Exit.UNREACHABLE),
    (RecordStoreError, Exit.UNREACHABLE),
    (RatesDownError, Exit.UNREACHABLE),
    (OpenFeatureError, Exit.UNREACHABLE),
    (OSError, Exit.UNREACHABLE),
)
"""The errors that are one line and an exit code; any other is a fault of ours."""


def code_of(error: Exception) -> Exit | None:
    """Return the exit code of *error*, None for one that nobody expects."""
    for kind, code in EXPECTED:
        if isinstance(error, kind):
            return code
    return None


def text_of(error: Exception) -> str:
    """Return what a person needs to read of *error*."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
