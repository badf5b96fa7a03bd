"""The management API: authentication, routing, projects, the audit log."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from openfeature_gov.testing.featbit import flag_routes, segment_routes
from openfeature_gov.testing.featbit.api import (
    ApiError,
    Backend,
    BindingError,
    Call,
    envelope,
    problem,
    refusal,
)
from openfeature_gov.testing.featbit.audit import Query, as_json
from openfeature_gov.testing.featbit.ports import Request, Response
from openfeature_gov.testing.featbit.store import Json, written

BASE = "/api/v1/"
HEALTH = frozenset({"/health/liveness", "/health/readiness"})
FOR_PEOPLE = re.compile(
    r"(access-tokens|webhooks|triggers|members|policies|workspaces|user|identity)\b"
    r"|envs/[^/]+/(feature-flags/(is-key-used|insights|copy-to-env)|secrets"
    r"|experiments|experiment-metrics|end-users)\b"
    r"|envs/[^/]+/audit-logs/compare"
)
"""Routes that take a signed-in person alone: 403 for any access token."""

Handler = Callable[[Call], Any]


class Management:
    """Answer the management API for one backend; writes run one at a time."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __call__(self, request: Request) -> Response:
        """Answer *request*."""
        if request.path in HEALTH:
            return Response(200, b"Healthy", "text/plain")
        try:
            response = envelope(self._data(request))
        except ApiError as error:
            response = refusal(error)
        except BindingError as error:
            response = problem(error)
        except (LookupError, TypeError, ValueError, AttributeError):
            response = refusal(ApiError(500))  # what the server does not handle either
        skew = self._backend.store.faults.clock_skew_ms
        return response._replace(date_skew_ms=skew)

    def _data(self, request: Request) -> Any:
        token = self._backend.tokens.find(request.headers.get("Authorization", ""))
        if token is None:
            raise ApiError(401)
        if not request.path.startswith(BASE):
            raise ApiError(404)
        path = request.path.removeprefix(BASE)
        if FOR_PEOPLE.match(path):
            raise ApiError(403)
        handler, parts = _route(request.method, path)
        with self._backend.store.lock:
            call = Call(self._backend, token, parts, request.query, request.body)
            return handler(call)


def _projects(call: Call) -> list[Json]:
    return [_project(call)] if _may_see_project(call) else []


def _one_project(call: Call) -> Json:
    known = call.parts["project"] == call.store.environment.project_id
    if not (known and _may_see_project(call)):
        raise ApiError(403)
    return _project(call)


def _may_see_project(call: Call) -> bool:
    resource = f"project/{call.store.environment.project_key}"
    return call.token.allows("CanAccessProject", "project", resource)


def _project(call: Call) -> Json:
    place = call.store.environment
    visible = call.token.allows("CanAccessEnv", "env", place.resource)
    environment = {
        "projectId": place.project_id,
        "key": place.env_key,
        "createdAt": written(0),
        "updatedAt": written(0),
        **_environment(call),
    }
    return {
        "id": place.project_id,
        "name": place.project_name,
        "key": place.project_key,
        "environments": [environment] if visible else [],
    }


def _one_environment(call: Call) -> Json:
    call.require_env()
    return _environment(call)


def _environment(call: Call) -> Json:
    place = call.store.environment
    secrets = [
        ("Server Key", "server", place.server_secret),
        ("Client Key", "client", place.client_secret),
    ]
    return {
        "id": place.env_id,
        "name": place.env_name,
        "description": "",
        "secrets": [
            {"id": f"{place.env_id}-{kind}", "name": name, "type": kind, "value": value}
            for name, kind, value in secrets
        ],
        "settings": {"requireChangeComment": False},
    }


def _audit_logs(call: Call) -> Json:
    query = Query(
        text=call.asked("query"),
        creator=call.asked("creatorId"),
        ref_id=call.asked("refId"),
        ref_type=call.asked("refType"),
        since=call.asked_number("from"),
        until=call.asked_number("to"),
    )
    everywhere = call.asked_boolean("crossEnvironment")
    audit, tokens = call.backend.audit, call.backend.tokens
    found = audit.find(query) if call.in_env or everywhere else []
    try:
        return call.page(found, partial(as_json, name_of=tokens.name_of))
    except ValueError:
        raise ApiError(500) from None


def _compiled(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))


ROUTES: list[tuple[str, re.Pattern[str], Handler]] = [
    (method, _compiled(path), handler)
    for method, path, handler in [
        ("GET", "projects", _projects),
        ("GET", "projects/{project}", _one_project),
        ("GET", "projects/{project}/envs/{env}", _one_environment),
        ("GET", "envs/{env}/audit-logs", _audit_logs),
        *(
            (method, "envs/{env}/feature-flags" + path, handler)
            for method, path, handler in flag_routes.ROUTES
        ),
        *(
            (method, "envs/{env}/segments" + path, handler)
            for method, path, handler in segment_routes.ROUTES
        ),
    ]
]


def _route(method: str, path: str) -> tuple[Handler, dict[str, str]]:
    for wanted, pattern, handler in ROUTES:
        found = pattern.fullmatch(path)
        if wanted == method and found:
            return handler, found.groupdict()
    raise ApiError(404)
