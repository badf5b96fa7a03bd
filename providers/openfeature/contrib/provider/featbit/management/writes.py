"""One write: sent, then looked at, whatever the answer was. Repeated if harmless."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from tenacity import (
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_fixed,
)

from openfeature.contrib.provider.featbit.management.difference import (
    ABSENT,
    Change,
    described,
    difference,
)
from openfeature.contrib.provider.featbit.management.entries import AuditEntry
from openfeature.contrib.provider.featbit.management.errors import (
    ApiError,
    ManagementError,
    MissingError,
    NoAnswerError,
    NotPermittedError,
    OutcomeUnknownError,
    StaleRevisionError,
    WriteFailedError,
)
from openfeature.contrib.provider.featbit.management.models import (
    Json,
    ManagedFlag,
    ManagedSegment,
    Written,
)
from openfeature.contrib.provider.featbit.management.transport import Transport

TRIES = 3
LOOKS = 3
LOOK_PAUSE_S = 0.3
"""How often, and how far apart, to look for a write that may still be under way."""
AUDIT_SLACK_MS = 60_000
"""How far the stamps of a flag and of its audit entry may lie apart."""
LOST = "the audit entry is lost: this change is not in FeatBit's audit log"
Entity = ManagedFlag | ManagedSegment


class _OvertakenError(OutcomeUnknownError):
    """Report that somebody else's change came first, and that ours is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One PUT that should turn *before* into something that holds *wanted*.

    *look* reads the flag or segment, *audit* its audit entries in a window of
    milliseconds. *again* says that sending it twice does no harm, as a toggle or what
    a revision guards; *insists* that somebody else's change does not stop that.
    """

    http: Transport
    path: str
    body: Json
    before: Entity
    wanted: Json
    again: bool
    insists: bool
    look: Callable[[], Entity | None]
    audit: Callable[[int, int], Iterable[AuditEntry]]

    def run(self) -> Written:
        """Send it, look, and tell how it ended.

        Raises:
            StaleRevisionError: the revision was not the current one.
            WriteFailedError: no answer, and nothing changed.
            OutcomeUnknownError: no answer, and it cannot be told.
            ApiError: FeatBit refused it.

        """
        return Retrying(
            retry=retry_if_exception_type((WriteFailedError, _OvertakenError)),
            stop=stop_after_attempt(TRIES if self.again else 1),
            wait=wait_fixed(LOOK_PAUSE_S),
            reraise=True,
        )(self._once, count(1))

    def _once(self, tries: Iterator[int]) -> Written:
        number = next(tries)
        try:
            self.http.write("PUT", self.path, self.body)
        except NoAnswerError as lost:
            return self._after_silence(lost)
        except ApiError as refused:
            told = self._explained(refused)
            if number == 1 or not isinstance(told, StaleRevisionError):
                raise told from None
            # Ours of before, which got no answer, may be what it is stale by.
            after = self._looked()
            if self._missing(after):
                raise told from None
            note = "an earlier try had no answer, but what is there now is as wanted"
            return self._written(after, (note,))
        after = self._looked()
        return self._written(after, ())

    def _after_silence(self, lost: NoAnswerError) -> Written:
        after = self._looked(lost)
        if not self._missing(after) and (self._moved(after) or self.again):
            note = f"{lost}, but what is there now is as wanted"
            if not self._moved(after):
                return self._written(after, (note,))
            return self._written(after, (note, *self._audited(after)))
        if self._moved(after):
            overtaken = _OvertakenError if self.insists else OutcomeUnknownError
            raise overtaken(
                f"{lost}; somebody else changed it meanwhile, and it differs:\n"
                + "\n".join(described(self._missing(after), before="yours"))
            )
        raise WriteFailedError(lost)

    def _looked(self, lost: NoAnswerError | None = None) -> Entity:
        """Return what is there now; after silence look again for a while."""
        waiting = lost is not None and not lost.handled
        try:
            after = Retrying(
                retry=retry_if_result(lambda seen: not self._moved(seen)),
                stop=stop_after_attempt(LOOKS if waiting else 1),
                wait=wait_fixed(LOOK_PAUSE_S),
                retry_error_callback=lambda state: (
                    state.outcome.result() if state.outcome else None
                ),
            )(self.look)
        except ManagementError as error:
            problem = f"{lost or 'it was accepted'}; then reading it failed: {error}"
            raise OutcomeUnknownError(f"PUT {self.path}: {problem}") from None
        if after is None:
            raise OutcomeUnknownError(f"PUT {self.path}: it does not exist any more")
        return after

    def _written(self, after: Entity, notes: tuple[str, ...]) -> Written:
        missing = self._missing(after)
        if missing:
            lines = described(missing, before="written", after="read")
            notes = (*notes, "what is there now differs", *lines)
        return Written(
            revision=_revision(after),
            changed=self._moved(after),
            confirmed=not missing,
            token=after.token,
            notes=notes,
        )

    def _moved(self, after: Entity | None) -> bool:
        """Tell whether it is another version than the one before."""
        return after is not None and (
            _revision(after),
            after.updated_at,
            after.is_archived,
        ) != (_revision(self.before), self.before.updated_at, self.before.is_archived)

    def _missing(self, after: Entity) -> list[Change]:
        """Return what of *wanted* does not hold; the server may add members."""
        return [
            one
            for one in self._apart(after)
            if one.before is not ABSENT or one.path.endswith("]")
        ]

    def _apart(self, after: Entity) -> list[Change]:
        seen = after.document()
        return difference(self.wanted, {name: seen[name] for name in self.wanted})

    def _audited(self, after: Entity) -> tuple[str, ...]:
        """Return what there is to say of the audit entry of a change without answer."""
        since = after.version - AUDIT_SLACK_MS
        try:
            for entry in self.audit(since, after.version + AUDIT_SLACK_MS):
                if _made(entry, after):
                    return ()
        except ManagementError as error:
            return (f"the audit log could not be read: {error}",)
        return (LOST,)

    def _explained(self, refused: ApiError) -> ManagementError:
        """Return what a refusal means, by a look at what is there."""
        if refused.status not in (403, 404, 409):
            return refused
        try:
            theirs = self.look()
        except ManagementError:
            return refused
        if theirs is None:
            return MissingError(refused.request, refused.status, refused.codes)
        if refused.status == 403:
            hint = "it exists, but the token may not change it this way"
            return NotPermittedError(
                refused.request, refused.status, refused.codes, hint
            )
        if refused.status == 409:
            return StaleRevisionError(
                f"PUT {self.path}",
                f"revision {_revision(self.before)}",
                f"revision {_revision(theirs)}",
                [
                    Change(path, now, wanted)
                    for path, wanted, now in self._apart(theirs)
                ],
            )
        return refused


def _revision(entity: Entity) -> str:
    return entity.revision if isinstance(entity, ManagedFlag) else ""


def _made(entry: AuditEntry, after: Entity) -> bool:
    """Tell whether *entry* is the one of the change that led to *after*."""
    if isinstance(after, ManagedFlag):
        return entry.revision_after == after.revision
    return entry.version_after == after.version
