"""Errors as `application/problem+json`: what is wrong, never what was sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.server import reasons
from openfeature_gov.server.pages import page

logger = logging.getLogger(__name__)
TYPE = "application/problem+json"
API = "/approvals"
REVIEWS = "/reviews"


class Problem(BaseModel):
    """Describe an error; *reason* is a stable code."""

    title: str
    status: int
    reason: str
    detail: str


class DeniedError(Exception):
    """End a request with *status* and a *reason* code."""

    def __init__(self, status: int, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason, self.detail = status, reason, detail


def problem(
    status: int,
    reason: str,
    detail: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer that says *reason*; *detail* holds nothing of the caller's."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        reason=reason,
        detail=detail or reasons.WORDS.get(reason, ""),
    )
    return JSONResponse(
        body.model_dump(), status_code=status, media_type=TYPE, headers=headers
    )


def responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return *codes* as OpenAPI describes them."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        code: {
            "description": HTTPStatus(code).phrase,
            "model": Problem,
            "content": {TYPE: {"schema": schema}},
        }
        for code in codes
    }


def install(app: FastAPI) -> None:
    """Let every error of *app* end as a problem."""
    app.add_exception_handler(DeniedError, _denied)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RecordStoreError, _unstored)
    app.add_exception_handler(Exception, _unexpected)


def _denied(request: Request, error: Exception) -> Response:
    assert isinstance(error, DeniedError)  # noqa: S101 - registered so
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return _said(request, error.status, error.reason, error.detail, headers)


def _invalid(request: Request, error: Exception) -> Response:
    """Name the fields that are wrong; what stood in them is not repeated."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered so
    faults = [
        f"{'.'.join(str(part) for part in one['loc'] if _own(part))}: {one['type']}"
        for one in error.errors()
    ]
    return _said(request, 422, "invalid_request", "; ".join(faults[:10]))


def _own(part: object) -> bool:
    """Say whether *part* of a location can be a name of ours."""
    return isinstance(part, int) or (
        isinstance(part, str) and part.isascii() and part.isidentifier()
    )


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered so
    reason = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return _said(request, error.status_code, reason, headers=error.headers)


def _unstored(request: Request, error: Exception) -> Response:
    """Say that nobody knows yet; what the store said is for the log."""
    logger.error("an answer could not be recorded or read: %s", error)
    detail = "The records do not answer. Look again later: your answer may count then."
    return _said(request, 503, "records_unavailable", detail, {"Retry-After": "5"})


def _unexpected(request: Request, _: Exception) -> Response:
    """Say nothing of a fault of ours; the server logs it."""
    return _said(request, 500, "unexpected")


def _said(
    request: Request,
    status: int,
    reason: str,
    detail: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the problem, as a page where a browser shows it to a person."""
    person = "text/html" in request.headers.get("accept", "")
    if not person or request.url.path.startswith((API, REVIEWS)):
        return problem(status, reason, detail, headers)
    said = detail or reasons.words(reason)
    answer = page("error", status, title=HTTPStatus(status).phrase, said=said)
    answer.headers.update(headers or {})
    return answer
