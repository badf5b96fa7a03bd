"""`SegmentClient`: change the segments of one FeatBit, and how any change is sent."""

import threading
from uuid import uuid4

from openfeature.contrib.provider.featbit.management import checks
from openfeature.contrib.provider.featbit.management.difference import difference
from openfeature.contrib.provider.featbit.management.errors import (
    ApiError,
    MissingError,
    RefusedError,
    StaleRevisionError,
)
from openfeature.contrib.provider.featbit.management.models import (
    Json,
    ManagedFlag,
    ManagedSegment,
    NewSegment,
    Written,
    read,
)
from openfeature.contrib.provider.featbit.management.reader import (
    ManagementReader,
    flag_path,
    segment_path,
    segments_path,
)
from openfeature.contrib.provider.featbit.management.writes import Write


class SegmentClient(ManagementReader):
    """Read everything and change segments. Thread-safe; lives as long as you like.

    *api_url* is that of the api-server, *token* an access token (``api-...``), and
    *timeout_s* bounds each request as a whole.

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

    def _segment_there(self, env_id: str, segment_id: str) -> ManagedSegment:
        found = self.segment(env_id, segment_id)
        if found is None:
            path = segment_path(env_id, segment_id)
            hint = "no such segment in this environment"
            raise MissingError(f"GET /api/v1{path}", 404, (), hint)
        return found

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
        insists: bool = False,
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
            insists=insists,
            look=look,
            audit=lambda since, until: self.audit_logs(
                env_id, start_ms=since, end_ms=until, ref_id=before.id
            ),
        ).run()
