"""`ManagementReader`: read one FeatBit with one access token."""

from collections.abc import Iterator
from typing import Any, TypeVar

from openfeature.contrib.provider.featbit.management import audit, checks
from openfeature.contrib.provider.featbit.management.entries import AuditEntry
from openfeature.contrib.provider.featbit.management.errors import (
    ManagementError,
    MissingError,
    NotPermittedError,
)
from openfeature.contrib.provider.featbit.management.models import (
    Environment,
    FlagReference,
    FlagSummary,
    ManagedFlag,
    ManagedSegment,
    Project,
    SegmentSummary,
    Wire,
    read,
)
from openfeature.contrib.provider.featbit.management.transport import (
    REPEATED,
    Transport,
)

PAGE = 50
W = TypeVar("W", bound=Wire)


class ManagementReader:
    """Read flags, segments and audit logs. Thread-safe; lives as long as you like.

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
        self._http = Transport(
            api_url, token, timeout_s=timeout_s, allow_insecure=allow_insecure
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._http.url!r})"

    def projects(self) -> list[Project]:
        """Return the projects that the token may see, with their environments.

        Raises:
            ManagementError: as its subclasses tell.

        """
        path = "/projects"
        return [read(Project, one, path) for one in _list(self._http.get(path), path)]

    def environment(self, project_key: str, env_key: str) -> Environment:
        """Return one environment, with the secrets that the token may see.

        Raises:
            MissingError: there is none, or the token may not see it.
            ManagementError: as its subclasses tell.

        """
        seen = self.projects()
        for project in seen:
            for environment in project.environments:
                if (project.key, environment.key) == (project_key, env_key):
                    return environment
        listed = ", ".join(f"{p.key}/{e.key}" for p in seen for e in p.environments)
        hint = f'no environment "{project_key}/{env_key}"; the token sees: {listed}'
        raise MissingError("GET /api/v1/projects", 200, (), hint)

    def flags(
        self, env_id: str, *, name: str = "", archived: bool = False
    ) -> Iterator[FlagSummary]:
        """Yield the flags whose name or key contains *name*, archived ones or live.

        Raises:
            ManagementError: as its subclasses tell.

        """
        return self._paged(FlagSummary, flags_path(env_id), name, archived=archived)

    def flag(self, env_id: str, key: str) -> ManagedFlag | None:
        """Return one flag, archived or live; None if there is none.

        Raises:
            RefusedError: *key* or *env_id* cannot be one.
            NotPermittedError: it exists, or may exist, but the token may not see it.
            ManagementError: as its subclasses tell.

        """
        path = flag_path(env_id, key)
        try:
            return read(ManagedFlag, self._http.get(path), path)
        except (MissingError, NotPermittedError) as refused:
            if refused.status == 401 or self.listed(env_id, key):
                raise
            return None

    def segments(
        self, env_id: str, *, name: str = "", archived: bool = False
    ) -> Iterator[SegmentSummary]:
        """Yield the segments whose name contains *name*, archived ones or live.

        Raises:
            ManagementError: as its subclasses tell.

        """
        return self._paged(
            SegmentSummary, segments_path(env_id), name, archived=archived
        )

    def segment(self, env_id: str, segment_id: str) -> ManagedSegment | None:
        """Return one segment by id, archived or live; None if there is none.

        Raises:
            RefusedError: *segment_id* or *env_id* cannot be one.
            NotPermittedError: it exists, or may exist, but the token may not see it.
            ManagementError: as its subclasses tell.

        """
        path = segment_path(env_id, segment_id)
        try:
            return read(ManagedSegment, self._http.get(path), path)
        except (MissingError, NotPermittedError) as refused:
            if refused.status == 401 or any(
                one.id == segment_id
                for archived in (False, True)
                for one in self.segments(env_id, archived=archived)
            ):
                raise
            return None

    def flag_references(self, env_id: str, segment_id: str) -> list[FlagReference]:
        """Return the flags whose rules refer to a segment.

        Raises:
            ManagementError: as its subclasses tell.

        """
        path = f"{segment_path(env_id, segment_id)}/flag-references"
        found = _list(self._http.get(path), path)
        return [read(FlagReference, one, path) for one in found]

    def audit_logs(
        self, env_id: str, *, start_ms: int, end_ms: int, ref_id: str | None = None
    ) -> Iterator[AuditEntry]:
        """Yield the audit entries of a window, newest first, each once.

        *start_ms* and *end_ms* are unix milliseconds of the server's clock; *ref_id*
        keeps those of one flag or segment (its id). What the server cannot return
        becomes a gap entry.

        Raises:
            ManagementError: as its subclasses tell.

        """
        path = f"/envs/{checks.guid(env_id, 'environment')}/audit-logs"
        one = [("refId", checks.key(ref_id, "flag id"))] if ref_id else []

        def fetch(start: int, end: int, index: int, size: int) -> audit.Page:
            window = [("from", start), ("to", end)]
            paging = [("pageIndex", index), ("pageSize", size)]
            data = self._http.get(
                path, [*one, *window, *paging], repeated=REPEATED - {500}
            )
            return audit.page(data, path)

        return audit.walk(fetch, start_ms, end_ms)

    def listed(self, env_id: str, key: str) -> list[FlagSummary]:
        """Return the flags with exactly this key: the only proof of existence."""
        return [
            one
            for archived in (False, True)
            for one in self.flags(env_id, name=key, archived=archived)
            if one.key == key
        ]

    def _paged(
        self, model: type[W], path: str, name: str, *, archived: bool
    ) -> Iterator[W]:
        index = seen = 0
        while True:
            query = [("isArchived", "true" if archived else "false")]
            paging = [("pageIndex", index), ("pageSize", PAGE)]
            data = self._http.get(
                path, [*([("name", name)] if name else []), *query, *paging]
            )
            items = _list(data.get("items") if isinstance(data, dict) else None, path)
            yield from (read(model, one, path) for one in items)
            index, seen = index + 1, seen + len(items)
            if len(items) < PAGE or seen >= int(data.get("totalCount", 0)):
                return


def _list(data: Any, path: str) -> list[Any]:
    if isinstance(data, list):
        return data
    raise ManagementError(f"GET /api/v1{path}: unexpected answer: no list")


def flags_path(env_id: str) -> str:
    """Return the path of the flags of an environment."""
    return f"/envs/{checks.guid(env_id, 'environment')}/feature-flags"


def flag_path(env_id: str, key: str) -> str:
    """Return the path of one flag."""
    return f"{flags_path(env_id)}/{checks.key(key)}"


def segments_path(env_id: str) -> str:
    """Return the path of the segments of an environment."""
    return f"/envs/{checks.guid(env_id, 'environment')}/segments"


def segment_path(env_id: str, segment_id: str) -> str:
    """Return the path of one segment."""
    return f"{segments_path(env_id)}/{checks.key(segment_id, 'segment id')}"
