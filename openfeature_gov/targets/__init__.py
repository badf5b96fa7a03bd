"""Where flags live and are changed. One protocol; a flag file, or FeatBit itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from openfeature.contrib.provider.featbit.authoring import Json
from openfeature.contrib.provider.featbit.snapshot import Snapshot
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.targets.errors import (
    ConflictError,
    NotWrittenError,
    RefusedError,
    UnreachableError,
)
from openfeature_gov.targets.states import Change, Held, differences

Edit = Callable[[Json, Snapshot, str], Json]
"""Make a change to a document, whose snapshot and time are given."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One intended change of flags.

    *edit* makes it on a document at a time; *unmet* says what is still missing of it
    in a snapshot; *facts* go into the record. One that *widens* is recorded first.
    One that is *whole* is written even where it changes no flag.
    """

    name: str
    edit: Edit
    unmet: Callable[[Snapshot], tuple[str, ...]]
    facts: dict[str, Any]
    widens: bool
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Say who changes something and why, and where that is recorded.

    *records* is a file or a ``postgresql://`` URL, *sealing* what seals it.
    """

    actor: str
    reason: str
    records: Path | str
    sealing: Sealing | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """Hold a change that has been tried but not made. *revision* is the one to come."""

    before: Held
    after: Held
    changes: tuple[Change, ...]

    @property
    def revision(self) -> str:
        """Return the revision that the flags will have."""
        return self.after.snapshot.revision


@dataclass(frozen=True, slots=True)
class Written:
    """Hold what a write left: the flags as they were read back.

    *failed* says by key which flags were not changed as planned, and why; *notes* are
    what else a person must know.
    """

    held: Held
    failed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class FlagTarget(Protocol):
    """Keep flags, and change them so that nobody's change is lost.

    *name* is for people, *facts* for records; neither holds a secret.
    """

    @property
    def name(self) -> str:
        """Return how messages name the target."""

    @property
    def facts(self) -> Mapping[str, str]:
        """Return how records name the target."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep out other writers for the block, as far as the target can do that.

        Raises:
            RefusedError: when another writer stays for too long.
            OSError: when the lock cannot be made.

        """

    def read(self, keys: Collection[str] | None = None) -> Held:
        """Return the flags; *keys* are enough where a target reads them one by one.

        Raises:
            FeatBitDataError: when a provider would refuse them.
            UnreachableError: when the target cannot be reached.
            OSError: when it cannot be read.

        """

    def tried(self, document: Json) -> Held:
        """Return *document* as it would be held here; nothing is written.

        Raises:
            FeatBitDataError: when a provider would refuse it.

        """

    def write(self, planned: Planned, signed: Signed) -> Written:
        """Make the change *planned*, and read back what is there then.

        Every flag is tried, although others fail.

        Raises:
            RefusedError: with *why* ``stale`` when a flag of the change is not as it
                was planned on, nothing was written; ``unverified`` when it was, and
                reads back as something else.
            NotWrittenError: when nothing at all was written.
            UnreachableError: when the target cannot be reached.
            OSError: when it cannot be written.

        """


def plan(target: FlagTarget, edit: Edit, *, at: str, keys: Keys = None) -> Planned:
    """Read *target* and try *edit* on it at the time *at*; nothing is written there.

    Raises:
        FeatBitDataError: when what is there, or what *edit* makes of it, is refused.
        FeatBitEditError: when *edit* names something that is not there.
        UnreachableError: when the target cannot be reached.
        OSError: when it cannot be read.

    """
    before = target.read(keys)
    document = edit(before.document, before.snapshot, at)
    after = target.tried(document)
    return Planned(before, after, differences(before, after))


Keys = Collection[str] | None
"""The keys that a change is about; None for all."""

__all__ = [
    "Change",
    "ConflictError",
    "Edit",
    "FlagTarget",
    "Held",
    "Keys",
    "NotWrittenError",
    "Planned",
    "RefusedError",
    "Signed",
    "Switch",
    "UnreachableError",
    "Written",
    "differences",
    "plan",
]
