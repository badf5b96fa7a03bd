"""`FeatBitTarget`: the flags of one FeatBit environment, by its management API.

A change of several flags is not one transaction there. So nothing is written unless
every flag is as it was planned on, each flag is written in the order that never widens
first, and who asked gets told what became of each. A flag of which something may
have been written is never called unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress

import orjson

from openfeature.contrib.provider.featbit import authoring
from openfeature.contrib.provider.featbit.authoring import Json
from openfeature.contrib.provider.featbit.conditions import segment_ids
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.management import (
    ManagedFlag,
    ManagementClient,
    ManagementError,
    NoAnswerError,
    NotPermittedError,
    StaleRevisionError,
)
from openfeature.contrib.provider.featbit.parsing import parse_flag, parse_flag_set
from openfeature.contrib.provider.featbit.snapshot import compile_snapshot
from openfeature_gov.once import cached_property
from openfeature_gov.targets import (
    Held,
    Keys,
    NotWrittenError,
    Planned,
    RefusedError,
    Signed,
    UnreachableError,
    Written,
)
from openfeature_gov.targets.steps import HalfWrittenError, differing, turn

LONGEST_COMMENT = 512
STAMPS = frozenset({"revision", "updatedAt", "updatorId", "createdAt", "creatorId"})
"""Members that change with every write; the revision of a reading leaves them out."""


class FeatBitTarget:
    """Change the flags of environment *env* of *project*. Lives as long as *client*."""

    def __init__(self, client: ManagementClient, project: str, env: str) -> None:
        self.client = client
        self.project, self.env = project, env

    @property
    def name(self) -> str:
        """Return project and environment."""
        return f"FeatBit {self.project}/{self.env}"

    @property
    def facts(self) -> Mapping[str, str]:
        """Return project and environment."""
        return {"featbit": f"{self.project}/{self.env}"}

    @cached_property
    def env_id(self) -> str:
        """Return the id of the environment, asked for once.

        Raises:
            UnreachableError: when there is none, or it cannot be reached.

        """
        try:
            return self.client.environment(self.project, self.env).id
        except ManagementError as error:
            raise UnreachableError(f"{self.name}: {error}") from None

    def locked(self) -> AbstractContextManager[None]:
        """Do nothing: FeatBit has no lock, revisions guard a write instead."""
        return nullcontext()

    def read(self, keys: Keys = None) -> Held:
        """Read the flags *keys*, or all, one by one, and the segments they refer to.

        One that cannot be fetched or evaluated is left out, and named in *unread*.

        Raises:
            UnreachableError: when FeatBit cannot be reached, or no flag can be read.

        """
        flags, unread = [], {}
        segments: dict[str, Json] = {}
        asked = list(self._all() if keys is None else dict.fromkeys(keys))
        for key in asked:
            try:
                found = self.client.flag(self.env_id, key)
                if found is not None:
                    flags.append(self._whole(found, segments))
            except (ManagementError, FeatBitDataError) as error:
                self._stop_at(error)
                unread[key] = str(error)
        if unread and len(unread) == len(asked):
            lines = "\n".join(f'  flag "{key}": {why}' for key, why in unread.items())
            raise UnreachableError(f"{self.name}: no flag can be read\n{lines}")
        held = self._held(authoring.document(flags, segments.values()))
        return Held(held.source, held.document, held.snapshot, unread)

    def _all(self) -> Iterator[str]:
        """Yield every key; archived flags too, for a key of theirs is taken."""
        try:
            for archived in (False, True):
                yield from (
                    one.key for one in self.client.flags(self.env_id, archived=archived)
                )
        except ManagementError as error:
            raise UnreachableError(f"{self.name}: {error}") from None

    def _stop_at(self, error: Exception) -> None:
        """Raise *error* if it is not about one flag: the others will not fare better.

        Raises:
            UnreachableError: when FeatBit does not answer, or not to this token.

        """
        silent = isinstance(error, NoAnswerError) and error.status == 0
        unknown = isinstance(error, NotPermittedError) and error.status == 401
        if silent or unknown:
            raise UnreachableError(f"{self.name}: {error}") from None

    def _whole(self, flag: ManagedFlag, segments: dict[str, Json]) -> Json:
        """Return *flag* as JSON once it evaluates; add what it refers to.

        Raises:
            FeatBitDataError: when a provider would refuse it.
            ManagementError: when a segment cannot be read.

        """
        raw = flag.document()
        for segment_id in () if flag.is_archived else _referenced(raw):
            if segment_id not in segments:
                segment = self.client.segment(self.env_id, segment_id)
                if segment is not None:
                    segments[segment_id] = segment.document()
        self._held(authoring.document([raw], segments.values()))
        return raw

    def tried(self, document: Json) -> Held:
        """Return *document* as it would be held here; nothing is written.

        Segments that an edit names, and that were not read with the flags, are read.

        Raises:
            FeatBitDataError: when a provider would refuse it.
            UnreachableError: when a segment cannot be read.

        """
        data = document["data"]
        known = {one["id"] for one in data["segments"]}
        try:
            found = [
                self.client.segment(self.env_id, one)
                for one in sorted(_named(data["featureFlags"]) - known)
            ]
        except ManagementError as error:
            raise UnreachableError(f"{self.name}: {error}") from None
        added = [one.document() for one in found if one is not None]
        if added:
            segments = [*data["segments"], *added]
            document = {**document, "data": {**data, "segments": segments}}
        return self._held(document)

    def _held(self, document: Json) -> Held:
        try:
            snapshot = compile_snapshot(
                parse_flag_set(orjson.dumps(document)), revision=_revision(document)
            )
        except FeatBitDataError as error:
            raise FeatBitDataError(f"{self.name}: {error}") from None
        return Held(self.name, document, snapshot)

    def write(self, planned: Planned, signed: Signed) -> Written:
        """Write every flag of *planned* that differs, then read them all again.

        Raises:
            RefusedError: ``stale`` when a flag is not as it was planned on, nothing was
                written; ``unverified`` when it was written and cannot be read back.
            NotWrittenError: when nothing at all was written.
            UnreachableError: when FeatBit cannot be reached; nothing was written.

        """
        old, new = planned.before.raw, planned.after.raw
        keys = [change.key for change in planned.changes]
        self._refuse_stale(old, new, keys)
        errors: dict[str, ManagementError] = {}
        notes: list[str] = []
        comment = _comment(signed)
        for key in keys:
            try:
                told = turn(self.client, self.env_id, old.get(key), new[key], comment)
                notes += [f"{key}: {note}" for note in told]
            except ManagementError as error:
                errors[key] = error
        failed = {key: str(error) for key, error in errors.items()}
        if len(failed) == len(keys):
            self._refuse_untouched(errors.values(), failed)
        keys_there = [*old, *(key for key in keys if key not in old)]
        held = self._read_back(keys_there, failed)
        for key in held.unread.keys() & set(keys) - failed.keys():
            failed[key] = f"written, but it cannot be read back: {held.unread[key]}"
        return Written(held, failed, tuple(notes))

    def _refuse_untouched(
        self, errors: Collection[ManagementError], failed: Mapping[str, str]
    ) -> None:
        """Raise if nothing at all was written."""
        if any(isinstance(error, HalfWrittenError) for error in errors):
            return
        if all(isinstance(error, StaleRevisionError) for error in errors):
            raise RefusedError("\n".join(failed.values()), why="stale")
        raise NotWrittenError(self.name, failed)

    def _refuse_stale(
        self, old: Mapping[str, Json], new: Mapping[str, Json], keys: Iterable[str]
    ) -> None:
        """Raise if a flag that gets more than turned off is not as it was read.

        FeatBit itself checks the revision of some edits only, and never of a toggle.
        """
        for key in keys:
            killed = not new[key]["isEnabled"]
            if key in old and differing(old[key], new[key]) == {"isEnabled"} and killed:
                continue
            try:
                now = self.client.flag(self.env_id, key)
            except ManagementError as error:
                raise UnreachableError(
                    f"{self.name}: {error}; nothing was changed"
                ) from None
            read = old[key]["revision"] if key in old else None
            if (None if now is None else now.revision) != read:
                raise RefusedError(
                    f'{self.name}: flag "{key}" changed meanwhile; nothing was changed',
                    why="stale",
                )

    def _read_back(self, keys: Collection[str], failed: Mapping[str, str]) -> Held:
        try:
            return self.read(keys)
        except UnreachableError as error:
            lines = "".join(f'\n  flag "{key}": {why}' for key, why in failed.items())
            raise RefusedError(
                f"written{', in part' if failed else ''}, but it cannot be read back, "
                f"so look again: {error}{lines}",
                why="unverified",
            ) from None


def _referenced(raw: Json) -> set[str]:
    """Return the ids of the segments that the rules of *raw* name."""
    return {
        one
        for condition in parse_flag(raw).conditions()
        for one in segment_ids(condition)
    }


def _named(flags: Iterable[Json]) -> set[str]:
    """Return the ids of the segments that *flags* name; of unusable flags, none."""
    found: set[str] = set()
    for raw in flags:
        if not raw.get("isArchived"):
            with suppress(FeatBitDataError):
                found |= _referenced(raw)
    return found


def _revision(document: Json) -> str:
    """Return the SHA-256 of what *document* serves, whoever wrote it and when."""
    data = document["data"]
    content = [
        [{name: one[name] for name in one if name not in STAMPS} for one in items]
        for items in (data["featureFlags"], data["segments"])
    ]
    return hashlib.sha256(
        orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    ).hexdigest()


def _comment(signed: Signed) -> str:
    """Return the reason and who gave it, as long as FeatBit keeps it."""
    by = f" [by {signed.actor}]"
    room = LONGEST_COMMENT - len(by)
    reason = signed.reason
    return (reason if len(reason) <= room else f"{reason[: room - 3]}...") + by
