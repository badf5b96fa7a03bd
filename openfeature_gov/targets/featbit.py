"""`FeatBitTarget`: the flags of one FeatBit environment, by its management API.

A change of several flags is not one transaction there. So nothing is written unless
every flag is as it was planned on, each flag is written in the order that never widens
first, and who asked gets told what became of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import orjson

from openfeature.contrib.provider.featbit import authoring
from openfeature.contrib.provider.featbit.authoring import Json
from openfeature.contrib.provider.featbit.conditions import segment_ids
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.management import (
    ManagedFlag,
    ManagementClient,
    ManagementError,
    NewFlag,
    NoAnswerError,
    NotPermittedError,
    StaleRevisionError,
    Variation,
)
from openfeature.contrib.provider.featbit.management import Written as Answer
from openfeature.contrib.provider.featbit.parsing import parse_flag, parse_flag_set
from openfeature.contrib.provider.featbit.snapshot import compile_snapshot
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
        held = self.tried(authoring.document(flags, segments.values()))
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
        self.tried(authoring.document([raw], segments.values()))
        return raw

    def tried(self, document: Json) -> Held:
        """Return *document* as it would be held here; nothing is written.

        Raises:
            FeatBitDataError: when a provider would refuse it.

        """
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
            NotWrittenError: when no flag could be changed.
            UnreachableError: when FeatBit cannot be reached; nothing was written.

        """
        old, new = planned.before.raw, planned.after.raw
        keys = [change.key for change in planned.changes]
        self._refuse_stale(old, new, keys)
        failed: dict[str, str] = {}
        notes: list[str] = []
        stale = 0
        for key in keys:
            try:
                answers = self._apply(old.get(key), new[key], _comment(signed))
                notes += [f"{key}: {note}" for one in answers for note in one.notes]
            except ManagementError as error:
                stale += isinstance(error, StaleRevisionError)
                failed[key] = str(error)
        if stale == len(keys):
            raise RefusedError("\n".join(failed.values()), why="stale")
        if len(failed) == len(keys):
            raise NotWrittenError(self.name, failed)
        held = self._read_back([*old, *(key for key in keys if key not in old)])
        for key in held.unread.keys() & set(keys) - failed.keys():
            failed[key] = f"written, but it cannot be read back: {held.unread[key]}"
        return Written(held, failed, tuple(notes))

    def _refuse_stale(
        self, old: Mapping[str, Json], new: Mapping[str, Json], keys: Iterable[str]
    ) -> None:
        """Raise if a flag that gets more than turned off is not as it was read.

        FeatBit itself checks the revision of some edits only, and never of a toggle.
        """
        for key in keys:
            killed = not new[key]["isEnabled"]
            if key in old and _members(old[key], new[key]) == {"isEnabled"} and killed:
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

    def _apply(self, old: Json | None, new: Json, comment: str) -> list[Answer]:
        """Turn the flag *old* into *new*: what narrows first, turning on last."""
        if old is None:
            old = self._created(new, comment).document()
        return list(self._steps(old, new, comment))

    def _created(self, new: Json, comment: str) -> ManagedFlag:
        served = [
            one["id"]
            for one in new["fallthrough"]["variations"]
            if one["rollout"][1] > one["rollout"][0]
        ]
        flag = NewFlag(
            key=new["key"],
            name=new["name"],
            description=new.get("description") or "",
            variation_type=new["variationType"],
            variations=_variations(new),
            enabled_variation_id=served[0],
            disabled_variation_id=new["disabledVariationId"],
            tags=new["tags"],
            is_enabled=False,
        )
        return self.client.create_flag(self.env_id, flag, reason=comment)

    def _steps(self, old: Json, new: Json, comment: str) -> Iterator[Answer]:
        client, env, key = self.client, self.env_id, new["key"]
        members = _members(old, new)
        if "isEnabled" in members and not new["isEnabled"]:
            yield _confirmed(client.toggle(env, key, False, reason=comment))
            old = self._again(key)
        flag = ManagedFlag.model_validate(old)

        def told(answer: Answer, **update: Any) -> Answer:
            nonlocal flag
            update["revision"] = _confirmed(answer).revision
            flag = flag.model_copy(update=update)
            return answer

        if "variations" in members:
            listed = _variations(new)
            answer = client.set_variations(env, flag, listed, reason=comment)
            yield told(answer, variations=listed)
        if "disabledVariationId" in members:
            off = new["disabledVariationId"]
            answer = client.set_off_variation(env, flag, off, reason=comment)
            yield told(answer, disabled_variation_id=off)
        if members & {"targetUsers", "rules", "fallthrough"}:
            wanted = {
                "target_users": new["targetUsers"],
                "rules": new["rules"],
                "fallthrough": new["fallthrough"],
            }
            whole = flag.model_copy(update=wanted)
            yield told(client.set_targeting(env, whole, reason=comment), **wanted)
        if "description" in members:
            text = new["description"]
            yield _confirmed(client.set_description(env, key, text, reason=comment))
        if "tags" in members:
            yield _confirmed(client.set_tags(env, key, new["tags"], reason=comment))
        if "isEnabled" in members and new["isEnabled"]:
            yield _confirmed(client.toggle(env, key, True, reason=comment))

    def _again(self, key: str) -> Json:
        found = self.client.flag(self.env_id, key)
        if found is None:
            raise ManagementError(f'flag "{key}" does not exist any more')
        return found.document()

    def _read_back(self, keys: Iterable[str]) -> Held:
        try:
            return self.read(list(keys))
        except UnreachableError as error:
            raise RefusedError(
                f"written, but it cannot be read back, so look again: {error}",
                why="unverified",
            ) from None


def _confirmed(answer: Answer) -> Answer:
    """Return *answer* if a read after the write shows what was written.

    Raises:
        ManagementError: when it shows something else.

    """
    if answer.confirmed:
        return answer
    raise ManagementError(f"written, but not what is there: {'; '.join(answer.notes)}")


def _members(old: Json, new: Json) -> set[str]:
    """Return the members that differ and that this target can change."""
    readers: dict[str, Callable[[Json], Any]] = {
        "isEnabled": lambda flag: flag["isEnabled"],
        "variations": _variations,
        "disabledVariationId": lambda flag: flag["disabledVariationId"],
        "targetUsers": lambda flag: flag["targetUsers"],
        "rules": lambda flag: flag["rules"],
        "fallthrough": _fallthrough,
        "description": lambda flag: flag.get("description") or "",
        "tags": lambda flag: sorted(flag.get("tags") or ()),
    }
    return {name for name, read in readers.items() if read(old) != read(new)}


def _variations(flag: Json) -> list[Variation]:
    return [Variation.model_validate(one) for one in flag["variations"]]


def _fallthrough(flag: Json) -> object:
    """Return what the fallthrough serves, without what only experiments read."""
    fallthrough = flag["fallthrough"]
    shares = [(one["id"], one["rollout"]) for one in fallthrough["variations"]]
    return fallthrough.get("dispatchKey") or None, shares


def _referenced(raw: Json) -> set[str]:
    """Return the ids of the segments that the rules of *raw* name."""
    return {
        one
        for condition in parse_flag(raw).conditions()
        for one in segment_ids(condition)
    }


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
