"""A request as JSON, and back: what a store keeps in one column. Pure."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from openfeature_gov.approvals.requests import Request
from openfeature_gov.canonical import encode

_ADAPTER = TypeAdapter(Request)


def pack(request: Request) -> bytes:
    """Return the canonical bytes of *request*."""
    return encode(plain(request))


def plain(request: Request) -> dict[str, Any]:
    """Return *request* as JSON values; the arguments as the text that they are."""
    shallow = {one.name: getattr(request, one.name) for one in fields(request)}
    return {
        **shallow,
        "arguments": request.arguments.decode(),
        "facts": dict(request.facts),
        "votes": dict(request.votes),
        "voted_us": dict(request.voted_us),
        "callers": dict(request.callers),
        "questions": [asdict(one) for one in request.questions],
        "constraints": [
            {**asdict(one), "among": None if one.among is None else sorted(one.among)}
            for one in request.constraints
        ],
    }


def unpack(data: bytes) -> Request:
    """Return the request that `pack` made *data* of.

    Raises:
        ValueError: when *data* is no packed request; the message names the field.

    """
    try:
        return _ADAPTER.validate_json(data, strict=True)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ValueError(f"no packed request: {where}") from None


def arguments(request: Request) -> dict[str, Any]:
    """Return the arguments that will run."""
    found: dict[str, Any] = orjson.loads(request.arguments)
    return found
