"""The ASGI application: the API, the inbox, and the guard before both."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp

from openfeature_gov.server import (
    api,
    entrance,
    inbox,
    problems,
    review_pages,
    reviews,
)
from openfeature_gov.server.buckets import Buckets
from openfeature_gov.server.desk import Desk
from openfeature_gov.server.guards import Guard

TITLE = "openfeature-gov approvals"
ABOUT = "Answer the requests of AI agents, and look at what they did at once."


def build(desk: Desk) -> ASGIApp:
    """Return the application that serves *desk*; what it holds stays the caller's."""
    # The documentation pages of FastAPI load scripts from elsewhere.
    app = FastAPI(
        title=TITLE, description=ABOUT, version="1", docs_url=None, redoc_url=None
    )
    problems.install(app)
    app.add_exception_handler(entrance.LoginNeededError, entrance.login_page)
    app.state.desk = desk
    # The pages of reviews first: their list is no request of that name.
    for one in (api, reviews, entrance, review_pages, inbox):
        app.include_router(one.routes)
    clients = Buckets(*desk.limits.client, desk.clock)
    return Guard(app, clients=clients, secure=desk.secure)
