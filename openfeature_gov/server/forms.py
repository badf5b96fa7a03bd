"""Forms of our own pages: who sent one, from where, and what stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from openfeature_gov.server.problems import DeniedError
from openfeature_gov.server.sessions import Session

KIND = "application/x-www-form-urlencoded"
FIELDS = 40
CSRF = "csrf"


async def form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form that one of our own pages sent; the last of each.

    Raises:
        DeniedError: when it is no such form, or comes from elsewhere.

    """
    if not _own(request):
        raise DeniedError(403, "cross_site", "The form did not come from this site.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != KIND:
        raise DeniedError(415, "not_a_form")
    try:
        text = (await request.body()).decode()
        found = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS
        )
    except ValueError:
        raise DeniedError(400, "form_malformed") from None
    # A browser ends the lines of a text area in its own way.
    return {name: value.replace("\r\n", "\n") for name, value in found}


Form = Annotated[Mapping[str, str], Depends(form)]


def check(session: Session, fields: Mapping[str, str]) -> None:
    """Refuse a form that does not hold the token of *session*.

    Raises:
        DeniedError: with the reason ``csrf``.

    """
    given = fields.get(CSRF, "").encode("utf-8", "surrogatepass")
    if not compare_digest(given, session.csrf.encode()):
        raise DeniedError(403, CSRF, "The form is of another session. Load it again.")


def _own(request: Request) -> bool:
    """Say whether the browser, where it tells, names this very site as the sender."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and host == request.headers.get("host")
