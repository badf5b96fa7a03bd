"""What all routes of the management API share: one call, its answer, its errors."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openfeature_gov.testing.featbit.audit import AuditLog
from openfeature_gov.testing.featbit.ports import Response, json_response
from openfeature_gov.testing.featbit.store import Json, Store
from openfeature_gov.testing.featbit.tokens import AccessToken, Tokens
from openfeature_gov.testing.featbit.webhooks import Webhooks

NAMES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "ResourceNotFound",
    409: "Conflict",
    500: "InternalServerError",
}


class ApiError(Exception):
    """An answer that is no success; without *error*, its code is that of *status*."""

    def __init__(self, status: int, error: str = "") -> None:
        super().__init__(status, error)
        self.status = status
        self.errors = [error or NAMES[status]]


class BindingError(Exception):
    """A request that the framework refuses, in its own shape: *field* is at fault."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.errors = {field: [problem]}


@dataclass(slots=True)
class Backend:
    """What the API works on; *version* is that of the server it simulates."""

    store: Store
    tokens: Tokens
    audit: AuditLog
    webhooks: Webhooks
    version: str = "5.4.2"

    @property
    def applies_off_variation(self) -> bool:
        """Whether targeting carries the off variation and is validated: from 6 on."""
        return int(self.version.partition(".")[0]) >= 6


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated call: who, with which route parts, query and *raw* body."""

    backend: Backend
    token: AccessToken
    parts: Mapping[str, str]
    query: Mapping[str, list[str]]
    raw: bytes = b""

    @property
    def body(self) -> Any:
        """The JSON of the body, None for an empty one.

        Raises:
            BindingError: it is not JSON.

        """
        try:
            return json.loads(self.raw) if self.raw else None
        except ValueError:
            raise BindingError("$", "The JSON value could not be converted.") from None

    @property
    def store(self) -> Store:
        """The store."""
        return self.backend.store

    def require(self, action: str, kind: str, resource: str) -> None:
        """Go on if the token may do *action*.

        Raises:
            ApiError: 403.

        """
        if not self.token.allows(action, kind, resource):
            raise ApiError(403)

    def require_env(self) -> None:
        """Go on if the environment of the route exists and the token may access it.

        Raises:
            ApiError: 403.

        """
        if not self.in_env:
            raise ApiError(403)
        self.require("CanAccessEnv", "env", self.store.environment.resource)

    @property
    def in_env(self) -> bool:
        """Whether the route names the environment that there is."""
        return self.parts["env"] == self.store.environment.env_id

    @property
    def fields(self) -> Json:
        """The members of the body.

        Raises:
            BindingError: it is no object.

        """
        body = self.body
        if body is None:
            return {}
        if not isinstance(body, dict):
            raise BindingError("$", "The JSON value could not be converted.")
        return body

    def text(self, field: str) -> str | None:
        """Return a member of the body that is text or null."""
        found: str | None = self._typed(field, str)
        return found

    def items(self, field: str) -> list[Any]:
        """Return a member of the body that is a list; null is what it is there: a 500.

        Raises:
            ApiError: 500, it is null or absent.
            BindingError: it is no list.

        """
        found = self._typed(field, list)
        if found is None:
            raise ApiError(500)
        return list(found)

    def guid(self, field: str) -> str:
        """Return a member of the body that is a GUID; absent it is the empty one."""
        text = self.text(field)
        try:
            return str(uuid.UUID(text or str(uuid.UUID(int=0))))
        except ValueError:
            raise BindingError(field, "The JSON value is no GUID.") from None

    def _typed(self, field: str, kind: type) -> Any:
        value = self.fields.get(field)
        if value is not None and not isinstance(value, kind):
            raise BindingError(f"$.{field}", "The JSON value could not be converted.")
        return value

    def asked(self, name: str, default: str = "") -> str:
        """Return the first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def asked_number(self, name: str) -> int | None:
        """Return a query parameter that is a whole number."""
        text = self.asked(name)
        try:
            return int(text) if text else None
        except ValueError:
            raise BindingError(name, f"The value '{text}' is not valid.") from None

    def asked_boolean(self, name: str) -> bool | None:
        """Return a query parameter that is true or false."""
        text = self.asked(name).lower()
        if text not in {"", "true", "false"}:
            raise BindingError(name, f"The value '{text}' is not valid.")
        return None if not text else text == "true"

    def page(self, items: list[Any], show: Callable[[Any], Any]) -> Json:
        """Return the page of *items* that the query asks for, each one shown."""
        index = self.asked_number("pageIndex") or 0
        size = self.asked_number("pageSize") or 10
        page = items[index * size : (index + 1) * size]
        return {"totalCount": len(items), "items": [show(one) for one in page]}


def envelope(data: Any) -> Response:
    """Return a success."""
    return json_response(200, {"success": True, "errors": [], "data": data})


def refusal(error: ApiError) -> Response:
    """Return a failure in the API's own shape."""
    body = {"success": False, "errors": error.errors, "data": None}
    return json_response(error.status, body)


def problem(error: BindingError) -> Response:
    """Return a failure in the framework's shape."""
    title = "One or more validation errors occurred."
    body = {"title": title, "status": 400, "errors": error.errors}
    return Response(400, json.dumps(body).encode(), "application/problem+json")
