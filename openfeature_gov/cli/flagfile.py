"""One flag file: read it whole, describe it, change it so that no change is lost."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from openfeature.contrib.provider.featbit.authoring import Json
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.flagset import Flag, Rollout
from openfeature.contrib.provider.featbit.snapshot import Snapshot, read_snapshot
from openfeature.contrib.provider.featbit.strict_json import read_json
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.cli.exits import RefusedError

LOCK_WAIT_S = 10.0
Edit = Callable[[Json, Snapshot, str], Json]
"""Make a change to a document, whose snapshot and time are given."""


@dataclass(frozen=True, slots=True)
class FlagFile:
    """Hold a flag file as it was read: the document, and what it compiles to."""

    path: Path
    document: Json
    snapshot: Snapshot

    @property
    def flags(self) -> Mapping[str, Flag]:
        """Return the live flags by key."""
        return self.snapshot.flag_set.flags


@dataclass(frozen=True, slots=True)
class Change:
    """Say what changes of one flag: the members that differ, before and after."""

    key: str
    was: dict[str, Any]
    now: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """Hold a change that has been tried but not made. *revision* is the one to come."""

    before: FlagFile
    after: FlagFile
    changes: tuple[Change, ...]

    @property
    def revision(self) -> str:
        """Return the revision that the file will have."""
        return self.after.snapshot.revision


def read_flags(path: Path) -> FlagFile:
    """Read the flag file *path*.

    Raises:
        FeatBitDataError: when a provider would refuse it.
        OSError: when it cannot be read.

    """
    data = path.read_bytes()
    try:
        snapshot = read_snapshot(data)
    except FeatBitDataError as error:
        raise FeatBitDataError(f"{path}: {error}") from None
    document: Any = read_json(data)
    return FlagFile(path, document, snapshot)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other `gov` from changing *path* within the block.

    The lock is a file beside it that stays there: removing it would let two processes
    lock two different files of the same name.

    Raises:
        OSError: when the folder cannot be written.
        RefusedError: when another process holds the lock for too long.

    """
    target = path.resolve(strict=True)
    lock = target.with_name(f".{target.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _wait(descriptor, lock)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, lock: Path) -> None:
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(BlockingIOError),
            stop=stop_after_delay(LOCK_WAIT_S),
            wait=wait_random(0.005, 0.03),
            reraise=True,
        ):
            with attempt:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RefusedError(
            f"{lock}: another process has held this lock for {LOCK_WAIT_S:.0f} s; "
            "nothing was changed"
        ) from None


def plan(path: Path, edit: Edit, *, at: str) -> Planned:
    """Read *path* and try *edit* on it at the time *at*; nothing is written there.

    Raises:
        FeatBitDataError: when the file, or what *edit* makes of it, is refused.
        FeatBitEditError: when *edit* names something that is not there.
        OSError: when the file cannot be read.

    """
    before = read_flags(path)
    document = edit(before.document, before.snapshot, at)
    with TemporaryDirectory() as folder:
        trial = Path(folder) / "flags.json"
        write_document(trial, document)
        after = read_flags(trial)
    return Planned(before, after, differences(before, after))


def write(planned: Planned) -> FlagFile:
    """Write *planned* over the file it was made from, and read it back.

    The caller holds the lock.

    Raises:
        OSError: when it cannot be written; the file is as it was.
        RefusedError: when the file is not the one that was planned on, or reads back
            as another.

    """
    path = planned.before.path
    if read_flags(path).snapshot.revision != planned.before.snapshot.revision:
        raise RefusedError(
            f"{path} changed meanwhile; nothing was changed", why="stale"
        )
    write_document(path, planned.after.document)
    written = read_flags(path)
    if written.snapshot.revision != planned.revision:
        raise RefusedError(
            f"{path} reads back as another revision: something else writes it without "
            "the lock; look at it now (gov flags list)",
            why="unverified",
        )
    return written


def differences(before: FlagFile, after: FlagFile) -> tuple[Change, ...]:
    """Return what differs between two readings, flag by flag, versions aside."""
    changes = []
    for key in sorted(before.flags.keys() & after.flags.keys()):
        was, now = state(before.flags[key]), state(after.flags[key])
        if was != now:
            names = [name for name in was if was[name] != now[name]]
            changes.append(
                Change(key, {n: was[n] for n in names}, {n: now[n] for n in names})
            )
    return tuple(changes)


def state(flag: Flag) -> dict[str, Any]:
    """Return what a person would call the state of *flag*, as plain JSON values.

    ``values`` holds the text of each variation's value.
    """
    names = names_of(flag)
    targets = sum(len(target.keys) for target in flag.targets)
    return {
        "enabled": flag.enabled,
        "serves": split_text(flag.fallthrough, names),
        "off": names[flag.off_id],
        "targets": targets,
        "rules": len(flag.rules),
        "values": {names[one.id]: value_text(one.value) for one in flag.variations},
    }


def names_of(flag: Flag) -> dict[str, str]:
    """Return the name of each variation by id; the id where names are not unique."""
    names = [one.name for one in flag.variations]
    return {
        one.id: one.name if one.name and names.count(one.name) == 1 else one.id
        for one in flag.variations
    }


def split_text(rollout: Rollout, names: Mapping[str, str]) -> str:
    """Return what *rollout* serves: a name, or shares of several."""
    live = [share for share in rollout.shares if share.end > share.start]
    if len(live) == 1:
        return names[live[0].variation_id]
    return ", ".join(
        f"{(share.end - share.start) * 100:.4g}% {names[share.variation_id]}"
        for share in live
    )


def value_text(value: object) -> str:
    """Return a variation's value as text: booleans and JSON as JSON spells them."""
    if isinstance(value, bytes):
        return value.decode()
    return ("false", "true")[value] if isinstance(value, bool) else str(value)


def firsts(flag: Flag) -> str:
    """Return how many targets and rules come before the fallthrough."""
    targets = sum(len(target.keys) for target in flag.targets)
    counts = ((targets, "target"), (len(flag.rules), "rule"))
    return " and ".join(
        f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts if count
    )
