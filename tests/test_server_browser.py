"""The inbox in a real browser: a person logs in, decides, and sees what is new."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from tests.serving import MINUTE_US, Office, served, token

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed"
)
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium: apt-get install chromium"
)
LAPTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
WAIT_MS = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Provide a headless Chromium."""
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Provide a served office with nothing that waits."""
    with served(tmp_path) as one:
        yield one


Visit = Callable[..., "Page"]


@pytest.fixture
def visit(browser: Browser, office: Office) -> Iterator[Visit]:
    """Return a function that opens a page; whatever it complains of fails the test."""
    contexts, complaints = [], list[str]()

    def opened(path: str = "/inbox", subject: str = "", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            # A status is no complaint of the page's.
            lambda said: (
                complaints.append(said.text)
                if said.type == "error" and "status of" not in said.text
                else None
            ),
        )
        page.goto(office.url + path)
        if subject:
            page.get_by_label("Your reviewer token").fill(token(subject))
            page.get_by_role("button", name="Log in").click()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("script", [True, False], ids=["javascript", "without"])
def test_a_person_approves_and_refuses(
    office: Office, visit: Visit, script: bool
) -> None:
    """From the login to the answer, with and without JavaScript."""
    one, two = office.put(), office.put(tool="close_account")
    page = visit(subject="bob", java_script_enabled=script)
    page.get_by_role("link", name="refund").click()
    page.get_by_label("Why (optional)").fill("checked")
    page.get_by_label("At most, rows").fill("2")
    page.get_by_role("button", name="Approve once").click()
    page.get_by_role("heading", name="Approved").wait_for()
    page.get_by_role("link", name="To the list").click()
    page.get_by_role("link", name="close_account").click()
    page.get_by_role("button", name="Refuse").click()
    assert office.request(two).state is State.PENDING
    page.get_by_label("Why not").fill("wrong account")
    page.get_by_role("button", name="Refuse").click()
    page.get_by_role("heading", name="Refused").wait_for()
    approved, refused = office.request(one), office.request(two)
    assert (approved.state, approved.reviewer) == (State.APPROVED, "bob")
    assert [limit.limit for limit in approved.constraints] == [2]
    assert (refused.state, refused.reason) == (State.REFUSED, "wrong account")


def test_a_keyboard_is_enough(office: Office, visit: Visit) -> None:
    """For the whole way."""
    one = office.put()
    page = visit()
    page.locator("input:focus").wait_for()
    page.keyboard.type(token("bob"))
    page.keyboard.press("Enter")
    page.get_by_role("link", name="refund").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Approve once").focus()
    page.keyboard.press("Space")
    page.get_by_role("heading", name="Approved").wait_for()
    assert office.request(one).state is State.APPROVED


@pytest.mark.parametrize("script", [True, False], ids=["javascript", "without"])
def test_a_new_request_appears_by_itself(
    office: Office, visit: Visit, script: bool
) -> None:
    """Nobody reloads; the title counts."""
    page = visit(subject="bob", java_script_enabled=script)
    page.get_by_text("Nothing waits").wait_for()
    before = time.monotonic()
    office.put()
    page.get_by_role("link", name="refund").wait_for()
    print(f"appeared after {time.monotonic() - before:.2f} s")
    assert page.title() == "(1) Approvals"


def test_an_answer_elsewhere_is_told(office: Office, visit: Visit) -> None:
    """On the card that somebody looks at."""
    one = office.put()
    page = visit(f"/inbox/{one.id}", subject="bob")
    page.get_by_role("button", name="Approve once").wait_for()
    cy = office.people.by_token(token("cy"))
    assert cy is not None
    office.queue.refuse(one.id, cy, reason="no")
    page.get_by_text("This request changed").wait_for()
    page.get_by_role("button", name="Approve once").click()
    page.get_by_text("Somebody was faster").wait_for()
    assert office.request(one).state is State.REFUSED


def test_a_link_from_elsewhere_needs_one_click(
    office: Office, visit: Visit, tmp_path: Path
) -> None:
    """Whoever is logged in gets there, whoever is not gets the login."""
    one = office.put()
    page = visit(subject="bob")
    mail = f"data:text/html,<a href='{office.url}/inbox/{one.id}'>a link</a>"
    page.get_by_text("1 waiting").wait_for()
    page.goto(mail)
    page.get_by_role("link").click()
    page.get_by_role("button", name="Approve once").wait_for()
    stranger = visit(f"/inbox/{one.id}")
    assert stranger.get_by_role("button").all_inner_texts() == ["Log in"]


def test_another_site_cannot_answer(office: Office, visit: Visit) -> None:
    """Its form is refused, though the browser is logged in."""
    one = office.put()
    page = visit(subject="bob")
    page.get_by_text("1 waiting").wait_for()
    form = (
        f"<form method=post action='{office.url}/inbox/{one.id}/deny'>"
        "<input name=reason value=no></form>"
    )
    page.goto(f"data:text/html,{form}")
    page.evaluate("document.forms[0].submit()")
    page.get_by_text("did not come from this site").wait_for()
    assert office.request(one).state is State.PENDING


def attacked(office: Office) -> Request:
    evil = "\u202e</bdi><img src=x onerror=alert(1)><script>alert(1)</script>\u200b"
    return office.put(
        tool="delete_customer",
        facts={
            "consequence": f"All 3 orders of {evil} are deleted.\nNobody gets a mail.",
            "riskClass": "irreversible",
            "reversibility": "none",
            "account": evil,
        },
        values={
            "customer": {"id": 4711, "name": "Ann Мuster"},  # noqa: RUF001
            "note": f"Bitte löschen\n{evil} " + "x" * 1_500,
            evil: [True, None, 1.5],
        },
        quorum=2,
        deadline_us=office.now() + MINUTE_US // 2,
    )


def test_scripts_in_a_request_do_not_run(office: Office, visit: Visit) -> None:
    """They are text; no page asks anybody else for anything."""
    one = attacked(office)
    page = visit(f"/inbox/{one.id}?full=1", subject="bob")
    page.goto(f"{office.url}/inbox/{one.id}?full=1")
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.reload()
    page.get_by_role("button", name="Approve once").wait_for()
    assert page.locator("img").count() == 0
    assert page.get_by_text("<script>alert(1)</script>").count() >= 3
    assert all(url.startswith(office.url) for url in asked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_it_fits_the_screen(
    office: Office, visit: Visit, tmp_path: Path, size: dict[str, int], scheme: str
) -> None:
    """Nothing is wider; pictures are left in the test's folder."""
    office.put()
    attacked(office)
    office.put(
        tool="create_ticket",
        facts={
            "riskClass": "search",
            "consequence": "A ticket is opened.",
            "amount": None,
        },
    )
    page = visit(viewport=size, color_scheme=scheme)
    shots = [("login", None), ("list", "/inbox"), ("card", "/inbox/r00001")]
    shots += [("evil", "/inbox/r00002"), ("whole", "/inbox/r00002?full=1")]
    for name, path in shots:
        if path is not None:
            page.goto(office.url + path)
        if name == "list":
            page.get_by_label("Your reviewer token").fill(token("bob"))
            page.get_by_role("button", name="Log in").click()
            page.get_by_text("3 waiting").wait_for()
        picture = tmp_path / f"{name}-{size['width']}-{scheme}.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 1_000
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= size["width"], name
