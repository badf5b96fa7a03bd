"""The page that says what became of an answer, to a request or to a review."""

from __future__ import annotations

from typing import NamedTuple

from fastapi.responses import Response

from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.steps import Denied
from openfeature_gov.reviews.review import Review
from openfeature_gov.server import reasons
from openfeature_gov.server.entrance import INBOX, Here
from openfeature_gov.server.pages import page


class Noun(NamedTuple):
    """Say in a *word* what is answered, and where its list is at *home*."""

    word: str
    home: str

    def link(self, found: Request | Review) -> str:
        """Return where the page of *found* is."""
        return f"{self.home}/{found.id}"


REQUEST = Noun("request", INBOX)
REVIEW = Noun("review", f"{INBOX}/reviews")


def answered(
    noun: Noun,
    here: Here,
    found: Request | Review | None,
    told: tuple[str, str],
    status: int = 200,
) -> Response:
    """Return the page that tells *here* a title and a sentence about *found*."""
    title, said = told
    return page(
        *("answer", status),
        here=here,
        title=title,
        said=said,
        found=found,
        noun=noun.word,
        home=noun.home,
    )


def unknown(noun: Noun, here: Here) -> Response:
    """Return the page for a link that leads nowhere."""
    told = f"There is no such {noun.word}", "The link may be cut short."
    return answered(noun, here, None, told, 404)


def denied(
    noun: Noun, here: Here, found: Request | Review | None, step: Denied
) -> Response:
    """Return the page that says why *step* was not taken; *found* as it stands now."""
    if found is None:
        return unknown(noun, here)
    said = reasons.words(step.reason)
    if found.reviewer:
        said = f"{said} ({found.state.value} by {found.reviewer})"
    told = "Not done", said
    return answered(noun, here, found, told, reasons.status(step.reason))
