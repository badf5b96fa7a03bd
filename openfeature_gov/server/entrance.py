"""The way in: a token for a session, static files, and who is logged in."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.server import forms, reasons
from openfeature_gov.server.desk import At, Desk
from openfeature_gov.server.forms import Form
from openfeature_gov.server.pages import page
from openfeature_gov.server.problems import DeniedError
from openfeature_gov.server.sessions import LONGEST_S, Session

INBOX = "/inbox"
NEXT = re.compile(r"/inbox(?:/reviews)?(?:/[A-Za-z0-9_-]{1,64})?")
STATIC = {
    "inbox.css": "text/css; charset=utf-8",
    "inbox.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
routes = APIRouter(include_in_schema=False)


class Here(NamedTuple):
    """Hold who asks for a page, and the session that says so."""

    me: Reviewer
    session: Session


class LoginNeededError(Exception):
    """End a request for a page that nobody is logged in for."""


@routes.get("/")
def root() -> Response:
    """Lead to the list."""
    return RedirectResponse(INBOX, 303)


@routes.get("/static/{file}")
def static(file: str) -> Response:
    """Return one of the few files that pages load."""
    if file not in STATIC:
        raise DeniedError(404, "not_found")
    found = files("openfeature_gov.server") / "static" / file
    return Response(found.read_bytes(), media_type=STATIC[file])


@routes.post("/login")
def login(desk: At, request: Request, fields: Form) -> Response:
    """Exchange a token for the cookie of a new session."""
    wanted = _next(fields.get("next", ""))
    token = fields.get("token", "").strip()
    try:
        desk.reviewer(token, _client(request))
    except DeniedError as error:
        said = "Too many tries. Wait a little." if error.status == 429 else ""
        if error.reason == "keys_unavailable":
            said = reasons.words(error.reason)
        said = said or "That token is nobody's."
        return page("login", error.status, wanted=wanted, problem=said)
    answer = RedirectResponse(wanted, 303)
    answer.set_cookie(
        _cookie(desk),
        desk.sessions.begin(token),
        max_age=int(LONGEST_S),
        secure=desk.secure or request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


def here(desk: Desk, request: Request, *, awake: bool = True) -> Here:
    """Return who is logged in; a page that looks by itself is not *awake*.

    Raises:
        LoginNeededError: when nobody is, or the token is not good any more.
        DeniedError: when it asks too often.

    """
    cookie = request.cookies.get(_cookie(desk), "")
    session = desk.sessions.get(cookie, awake=awake)
    if session is None:
        raise LoginNeededError
    try:
        found = desk.reviewer(session.token, _client(request))
    except DeniedError as error:
        if error.status != 401:
            raise
        desk.sessions.end(cookie)
        raise LoginNeededError from None
    return Here(replace(found, way="login"), session)


def _me(desk: At, request: Request) -> Here:
    return here(desk, request)


Me = Annotated[Here, Depends(_me)]
"""Whoever asks for a page."""


def _sender(fields: Form, me: Me) -> Here:
    forms.check(me.session, fields)
    return me


Sent = Annotated[Here, Depends(_sender)]
"""Whoever sent a form of one of our pages."""


@routes.post("/logout")
def logout(desk: At, request: Request, _: Sent) -> Response:
    """End the session."""
    name = _cookie(desk)
    desk.sessions.end(request.cookies.get(name, ""))
    answer = RedirectResponse(INBOX, 303)
    answer.delete_cookie(name, secure=desk.secure, httponly=True, samesite="strict")
    return answer


def login_page(request: Request, _: Exception) -> Response:
    """Return the login, which leads back to where one wanted to go.

    A link in a message comes from another site, to which a strict cookie is not sent;
    the page asks once more, by itself.
    """
    wanted = _next(request.url.path)
    elsewhere = request.headers.get("sec-fetch-site") == "cross-site"
    if elsewhere and request.method == "GET":
        return page("again", wanted=wanted)
    return page("login", 401, wanted=wanted, problem="")


def _cookie(desk: Desk) -> str:
    """Return the cookie's name; browsers take ``__Host-`` from https alone."""
    return "__Host-gov" if desk.secure else "gov"


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def _next(path: str) -> str:
    """Return *path* if it is one of our pages, else the list: no open redirect."""
    return path if NEXT.fullmatch(path) else INBOX
