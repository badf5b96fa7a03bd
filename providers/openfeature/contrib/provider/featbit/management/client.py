"""`ManagementClient`: change one FeatBit with one access token.

Every change needs a reason, is checked before it is sent, is sent once, and is read
again after it: a 200 does not prove what is there now, nor a 500 that nothing changed.
"""

import threading
from collections.abc import Iterable, Sequence
from uuid import uuid4

from openfeature.contrib.provider.featbit.management import checks
from openfeature.contrib.provider.featbit.management.difference import difference
from openfeature.contrib.provider.featbit.management.errors import (
    ApiError,
    ManagementError,
    MissingError,
    NoAnswerError,
    RefusedError,
    StaleRevisionError,
)
from openfeature.contrib.provider.featbit.management.models import (
    Json,
    ManagedFlag,
    ManagedSegment,
    NewFlag,
    NewSegment,
    Variation,
    Written,
    read,
)
from openfeature.contrib.provider.featbit.management.reader import (
    ManagementReader,
    flag_path,
    flags_path,
    segment_path,
    segments_path,
)
from openfeature.contrib.provider.featbit.management.writes import Write


class ManagementClient(ManagementReader):
    """Read and change flags and segments. Thread-safe; lives as long as you like.

    *api_url* is that of the api-server, *token* an access token (``api-...``), and
    *timeout_s* bounds each connect and each read.

    Raises:
        RefusedError: *api_url* is not https (loopback may be http, others only with
            *allow_insecure*), or *token* cannot be one.

    """

    def __init__(
        self,
        api_url: str,
        token: str,
        *,
        timeout_s: float = 10.0,
        allow_insecure: bool = False,
    ) -> None:
        super().__init__(
            api_url, token, timeout_s=timeout_s, allow_insecure=allow_insecure
        )
        self._creating = threading.Lock()

    # Changing flags.

    def create_flag(self, env_id: str, new: NewFlag, *, reason: str) -> ManagedFlag:
        """Create a flag, off at first, and return it.

        FeatBit takes no reason for a creation: a description with the reason follows,
        and then, if the flag is to be on, a toggle with it.

        Raises:
            RefusedError: *new* or *reason* is not valid, or the key is taken.
            ManagementError: as its subclasses tell; the flag may exist, off.

        """
        comment = checks.reason(reason)
        checks.new_flag(new)
        with self._creating:
            if self.listed(env_id, new.key):
                raise RefusedError(f'flag "{new.key}" exists already, live or archived')
            made = self._created(env_id, new)
        text = new.description or comment
        self.set_description(env_id, new.key, text, reason=comment)
        if new.is_enabled:
            self.toggle(env_id, new.key, True, reason=comment)
        return self.flag(env_id, new.key) or made

    def _created(self, env_id: str, new: NewFlag) -> ManagedFlag:
        path = flags_path(env_id)
        body = {**new.document(), "isEnabled": False, "description": ""}
        try:
            made = read(ManagedFlag, self._http.write("POST", path, body), path)
        except NoAnswerError as lost:
            return self._after_lost_creation(env_id, new, lost)
        if len(self.listed(env_id, new.key)) > 1:
            raise ManagementError(
                f'flag "{new.key}" exists twice: somebody else created it at the same'
                " moment; archive one of them in FeatBit's console"
            )
        return made

    def _after_lost_creation(
        self, env_id: str, new: NewFlag, lost: NoAnswerError
    ) -> ManagedFlag:
        found = self.flag(env_id, new.key)
        if found is None:
            raise lost
        wanted = [one.document() for one in new.variations]
        if difference(wanted, [one.document() for one in found.variations]):
            raise ManagementError(
                f'{lost}; flag "{new.key}" exists now with other variations: somebody'
                " else created it"
            )
        return found

    def toggle(self, env_id: str, key: str, enabled: bool, *, reason: str) -> Written:
        """Turn a flag on or off. Off is the kill switch: it is sent until it holds.

        Raises:
            ManagementError: as its subclasses tell.

        """
        action = f"toggle/{'true' if enabled else 'false'}"
        before = self._there(env_id, key)
        wanted = {"isEnabled": enabled}
        return self._change(
            env_id, before, action, {}, wanted, reason=reason, again=True
        )

    def archive(self, env_id: str, key: str, *, reason: str) -> Written:
        """Archive a flag: the SDKs no longer serve it.

        Raises:
            ManagementError: as its subclasses tell.

        """
        before, wanted = self._there(env_id, key), {"isArchived": True}
        return self._change(
            env_id, before, "archive", {}, wanted, reason=reason, again=True
        )

    def restore(self, env_id: str, key: str, *, reason: str) -> Written:
        """Bring an archived flag back.

        Raises:
            ManagementError: as its subclasses tell.

        """
        before, wanted = self._there(env_id, key), {"isArchived": False}
        return self._change(
            env_id, before, "restore", {}, wanted, reason=reason, again=True
        )

    def set_targeting(self, env_id: str, flag: ManagedFlag, *, reason: str) -> Written:
        """Replace the whole targeting of *flag*; its revision must be current.

        Raises:
            RefusedError: it would not evaluate for everyone; nothing was sent.
            StaleRevisionError: somebody changed it meanwhile; nothing was written.
            ManagementError: as its subclasses tell.

        """
        ids = iter(lambda: str(uuid4()), None)
        options = {"dispatchKey": None, "includedInExpt": False}
        rules = checks.completed(flag.rules, ids, **options)
        fallthrough = {**options, **flag.fallthrough}
        whole = flag.model_copy(update={"rules": rules, "fallthrough": fallthrough})
        checks.flag(whole, self._live_segments(env_id, whole))
        targeting = whole.targeting()
        body = {"revision": flag.revision, "targeting": targeting}
        return self._change(env_id, whole, "targeting", body, targeting, reason=reason)

    def set_off_variation(
        self, env_id: str, flag: ManagedFlag, variation_id: str, *, reason: str
    ) -> Written:
        """Make *variation_id* what *flag* serves while it is off.

        Raises:
            RefusedError: the flag has no such variation; nothing was sent.
            StaleRevisionError: somebody changed it meanwhile; nothing was written.
            ManagementError: as its subclasses tell.

        """
        wanted = {"disabledVariationId": variation_id}
        whole = flag.model_copy(update={"disabled_variation_id": variation_id})
        checks.flag(whole, checks.referenced_segments(whole))
        body = {"revision": flag.revision, "offVariationId": variation_id}
        return self._change(env_id, flag, "off-variation", body, wanted, reason=reason)

    def set_variations(
        self,
        env_id: str,
        flag: ManagedFlag,
        variations: Sequence[Variation],
        *,
        reason: str,
    ) -> Written:
        """Replace the variations of *flag*; one that is served must stay.

        Raises:
            RefusedError: one is missing or has no value of the flag's type.
            StaleRevisionError: somebody changed it meanwhile; nothing was written.
            ManagementError: as its subclasses tell.

        """
        whole = flag.model_copy(update={"variations": list(variations)})
        checks.flag(whole, checks.referenced_segments(whole))
        wanted = {"variations": [one.document() for one in variations]}
        body = {"revision": flag.revision, **wanted}
        return self._change(env_id, flag, "variations", body, wanted, reason=reason)

    def set_description(
        self, env_id: str, key: str, description: str, *, reason: str
    ) -> Written:
        """Set the description of a flag.

        Raises:
            ManagementError: as its subclasses tell.

        """
        wanted = {"description": checks.description(description)}
        before = self._there(env_id, key)
        return self._change(
            env_id, before, "description", wanted, wanted, reason=reason
        )

    def set_name(self, env_id: str, key: str, name: str, *, reason: str) -> Written:
        """Set the name of a flag; its key never changes.

        Raises:
            ManagementError: as its subclasses tell.

        """
        wanted = {"name": checks.line(name, "name of the flag")}
        before = self._there(env_id, key)
        return self._change(env_id, before, "name", wanted, wanted, reason=reason)

    def set_tags(
        self, env_id: str, key: str, tags: Iterable[str], *, reason: str
    ) -> Written:
        """Replace the tags of a flag.

        Raises:
            ManagementError: as its subclasses tell.

        """
        wanted = {"tags": checks.tags(tags)}
        before = self._there(env_id, key)
        return self._change(env_id, before, "tags", wanted, wanted, reason=reason)

    # Changing segments.

    def create_segment(
        self, env_id: str, new: NewSegment, *, reason: str
    ) -> ManagedSegment:
        """Create an empty segment and return it; a commented update carries *reason*.

        Raises:
            RefusedError: *new* or *reason* is not valid, or the key is taken.
            ManagementError: as its subclasses tell.

        """
        comment = checks.reason(reason)
        checks.new_segment(new)
        path = segments_path(env_id)
        with self._creating:
            if any(
                one.key == new.key
                for archived in (False, True)
                for one in self.segments(env_id, archived=archived)
            ):
                raise RefusedError(f'segment "{new.key}" exists already')
            body = {**new.document(), "description": ""}
            made = read(ManagedSegment, self._http.write("POST", path, body), path)
        wanted = {"description": new.description or comment}
        self._change(env_id, made, "description", wanted, wanted, reason=comment)
        return self.segment(env_id, made.id) or made

    def set_segment_targeting(
        self, env_id: str, segment: ManagedSegment, *, reason: str
    ) -> Written:
        """Replace who belongs to *segment*.

        Segments have no revision: a change by somebody else is seen by ``updatedAt``
        just before the write, not during it.

        Raises:
            RefusedError: a rule is not valid; nothing was sent.
            StaleRevisionError: somebody changed it meanwhile; nothing was written.
            ManagementError: as its subclasses tell.

        """
        ids = iter(lambda: str(uuid4()), None)
        rules = checks.completed(segment.rules, ids)
        whole = segment.model_copy(update={"rules": rules})
        checks.segment(whole)
        wanted = {
            "included": whole.included,
            "excluded": whole.excluded,
            "rules": whole.rules,
        }
        theirs = self._segment_there(env_id, segment.id)
        if theirs.updated_at != segment.updated_at:
            now = {name: theirs.document()[name] for name in wanted}
            raise StaleRevisionError(
                f'segment "{segment.name}"',
                segment.updated_at,
                theirs.updated_at,
                difference(now, wanted),
            )
        return self._change(env_id, segment, "targeting", wanted, wanted, reason=reason)

    def archive_segment(self, env_id: str, segment_id: str, *, reason: str) -> Written:
        """Archive a segment that no flag refers to.

        Raises:
            RefusedError: flags refer to it; it names them.
            ManagementError: as its subclasses tell.

        """
        comment = checks.reason(reason)
        before = self._segment_there(env_id, segment_id)
        try:
            return self._change(
                env_id,
                before,
                "archive",
                {},
                {"isArchived": True},
                reason=comment,
                again=True,
            )
        except ApiError as refused:
            if "SegmentIsBeingUsed" not in refused.codes:
                raise
            used = ", ".join(
                one.key for one in self.flag_references(env_id, segment_id)
            )
            problem = f'segment "{before.name}" is used by {used}; change them first'
            raise RefusedError(problem) from None

    def _change(
        self,
        env_id: str,
        before: ManagedFlag | ManagedSegment,
        action: str,
        body: Json,
        wanted: Json,
        *,
        reason: str,
        again: bool = False,
    ) -> Written:
        def look() -> ManagedFlag | ManagedSegment | None:
            if isinstance(before, ManagedFlag):
                return self.flag(env_id, before.key)
            return self.segment(env_id, before.id)

        path = (
            flag_path(env_id, before.key)
            if isinstance(before, ManagedFlag)
            else segment_path(env_id, before.id)
        )
        return Write(
            http=self._http,
            path=f"{path}/{action}",
            body={**body, "comment": checks.reason(reason)},
            before=before,
            wanted=wanted,
            again=again,
            look=look,
            audit=lambda since, until: self.audit_logs(
                env_id, start_ms=since, end_ms=until, ref_id=before.id
            ),
        ).run()

    def _there(self, env_id: str, key: str) -> ManagedFlag:
        found = self.flag(env_id, key)
        if found is None:
            hint = f'no flag "{key}" in this environment'
            raise MissingError(f"GET /api/v1{flag_path(env_id, key)}", 404, (), hint)
        return found

    def _segment_there(self, env_id: str, segment_id: str) -> ManagedSegment:
        found = self.segment(env_id, segment_id)
        if found is None:
            path = segment_path(env_id, segment_id)
            hint = "no such segment in this environment"
            raise MissingError(f"GET /api/v1{path}", 404, (), hint)
        return found

    def _live_segments(self, env_id: str, flag: ManagedFlag) -> set[str]:
        wanted = checks.referenced_segments(flag)
        found = {one: self.segment(env_id, one) for one in wanted}
        return {one for one, seen in found.items() if seen and not seen.is_archived}
