"""The recorded retail calls at approval_required, answered by people elsewhere.

The agent runs here. People answer in processes of their own: one by ``gov approvals``,
one by the HTTP API of ``gov serve``, one in a headless Chromium. Of four requests two
are approved, one is refused and one is left until a process whose clock is ahead ends
it. Then the shop must hold exactly what the approved calls and the free ones make of
it, applied to a copy that nobody governed.

Run ``PYTHONPATH=.:providers:rollout python -m tests.integration.retail_approvals``
with ``--calls FILE --store FILE`` for other recordings and ``--pictures FOLDER`` for
pictures of the inbox. Prints one JSON line; ends with exit 4 when something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.cli.answering import os_user
from openfeature_gov.decisions import Effect
from openfeature_gov.demo import agent
from openfeature_gov.demo.hosts import file_host
from openfeature_gov.demo.orders import OrderError, OrderStore
from openfeature_gov.demo.recorded import (
    CALLS,
    GOVERNANCE,
    SHOP,
    RecordedCall,
    by_task,
    read_calls,
    read_store,
)
from openfeature_gov.governor import Governor
from openfeature_gov.stores import history
from tests.tree import PATH

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
RUN = "people"
WAVE = 12
"""Requests that may wait before people answer: an agent may have a hundred open."""
WHAT = ("approve", "approve", "refuse", "leave")
"""What becomes of the requests, in turn: more refusals would pause the workflow."""
FREE = frozenset({"modify_user_address", agent.HAND_OVER})
"""Tools that change something and wait for nobody at approval_required."""
GROUPS = ("support-leads", "order-desk", "support-duty-manager")
HOURS_S = 4 * 3600
LATER = f"""
import sys, time
real, ahead = time.time_ns, {HOURS_S} * 10**9 * int(sys.argv.pop(1))
time.time_ns = lambda: real() + ahead
from openfeature_gov.cli import main
main()
"""
"""Runs a command in a process whose clock is hours ahead."""
LAPTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
WHY = {"approve": "checked with the customer", "refuse": "not as the customer asked"}
WAIT_MS = 60_000


class Channel(Protocol):
    """Answer one request as a person does, from another process."""

    def __call__(self, request_id: str, what: str) -> None:
        """Look at *request_id*, then do *what*."""


@dataclass
class Tally:
    """Count what happened, and keep what differs from what had to."""

    queued: int = 0
    planned: Counter[str] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)
    moot: set[str] = field(default_factory=set)
    """Approved requests that the shop itself takes no more: others came before."""
    states: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Agent:
    """The governed agent on its own files, and the copy of the shop that nobody rules.

    Lives for one run.
    """

    def __init__(self, folder: Path, shop: OrderStore, governor: Governor) -> None:
        self.folder, self.governor = folder, governor
        self.store = shop.copy(str(folder / "shop.db"))
        self.expected = shop.copy()
        self.tools = agent.govern(governor, self.store)
        self.asked: dict[str, tuple[RecordedCall, str]] = {}
        self.tally = Tally()

    def play(self, calls: Iterable[RecordedCall]) -> list[str]:
        """Put *calls* to the Governor; return the requests that they made."""
        made = []
        for played in agent.play(self.governor, self.tools, calls=calls, run=RUN):
            one, outcome = played.call, played.outcome
            if one.tool in FREE:
                self.expect(one)
            if outcome.effect is not Effect.QUEUE_FOR_APPROVAL:
                continue
            if outcome.approval_id not in self.asked:
                what = WHAT[len(self.asked) % len(WHAT)]
                self.asked[outcome.approval_id] = (one, what)
                made.append(outcome.approval_id)
        self.tally.queued += len(made)
        return made

    def expect(self, call: RecordedCall) -> bool:
        """Let *call* happen where nobody governs; say whether the shop took it."""
        try:
            self.expected.call(call.tool, call.arguments)
        except OrderError:
            return False
        return True

    def resume(self, request_id: str) -> None:
        """Go on with a request, as an agent does that was told of the answer."""
        call, what = self.asked[request_id]
        if what == "approve" and not self.expect(call):
            self.tally.moot.add(request_id)
        with self.governor.acting(agent.support_context(call.task, run=RUN)):
            try:
                outcome = self.governor.resume(request_id)
            except OrderError:
                ran = True
            else:
                ran = outcome.ran == "tool"
        if ran != (what == "approve") and request_id not in self.tally.moot:
            self.tally.wrong.append(f"{call.tool}, {what}: ran is {ran}")

    def request(self, request_id: str) -> Request:
        assert self.governor.approvals is not None
        found = self.governor.approvals.get(request_id)
        assert found is not None
        return found


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PATH, "COLUMNS": "200"}


class Terminal:
    """A person at the command line, each command a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, request_id: str, what: str) -> None:
        shown = json.loads(self.gov("show", request_id, "--json"))
        if what == "approve":
            seen = shown["fingerprint"]
            self.gov("approve", request_id, "--seen", seen, "--reason", WHY[what])
        else:
            self.gov("deny", request_id, "--reason", WHY[what])

    def gov(self, *words: str) -> str:
        return self._run("-m", "openfeature_gov.cli", "approvals", *words)

    def expire(self, hours: int) -> None:
        """Let a process whose clock is ahead pass on and end what is due."""
        self._run("-c", LATER, str(hours), "approvals", "expire", "--json")

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self._folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{words}: exit {done.returncode}: {done.stderr[-500:]}")
        return done.stdout


class Caller:
    """A person whose program calls the API of the server."""

    def __init__(self, url: str, token: str) -> None:
        known = {"Authorization": f"Bearer {token}"}
        self.client = httpx.Client(base_url=url, headers=known, timeout=60)

    def __call__(self, request_id: str, what: str) -> None:
        path = f"/approvals/{request_id}"
        shown = self.client.get(path).raise_for_status().json()
        if what == "approve":
            body = {"seen": shown["binding"], "reason": WHY[what]}
            answer = self.client.post(f"{path}/approve", json=body)
        else:
            answer = self.client.post(f"{path}/deny", json={"reason": WHY[what]})
        answer.raise_for_status()

    def close(self) -> None:
        self.client.close()


class Surfer:
    """A person in a browser; *pictures* is where the first look is kept."""

    def __init__(
        self, browser: Browser, url: str, token: str, pictures: Path | None
    ) -> None:
        self.pictures, self._browser, self._url = pictures, browser, url
        self._token = token
        self.page = self._opened(LAPTOP)

    def __call__(self, request_id: str, what: str) -> None:
        page = self.page
        if self.pictures is not None:
            self._photograph(request_id, self.pictures)
            self.pictures = None
        page.goto(f"{self._url}inbox/{request_id}")
        if what == "approve":
            page.get_by_label("Why (optional)").fill(WHY[what])
            page.get_by_role("button", name="Approve once").click()
            page.get_by_role("heading", name="Approved").wait_for()
        else:
            page.get_by_label("Why not").fill(WHY[what])
            page.get_by_role("button", name="Refuse").click()
            page.get_by_role("heading", name="Refused").wait_for()

    def _opened(self, size: Any) -> Page:
        page = self._browser.new_context(viewport=size).new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{self._url}inbox")
        page.get_by_label("Your reviewer token").fill(self._token)
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("waiting").first.wait_for()
        return page

    def _photograph(self, request_id: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, size in (("laptop", LAPTOP), ("phone", PHONE)):
            page = self._opened(size)
            page.screenshot(path=folder / f"list-{name}.png")
            page.goto(f"{self._url}inbox/{request_id}")
            page.screenshot(path=folder / f"card-{name}.png")
            page.screenshot(path=folder / f"whole-card-{name}.png", full_page=True)
            page.context.close()


@contextmanager
def browsing() -> Iterator[Browser]:
    """Lend a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield found
        found.close()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Lend ``gov serve`` on a free port."""
    command = (sys.executable, "-m", "openfeature_gov.cli", "serve", "--port", "0")
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://\S+/", process.stderr.readline())
            if found is None:
                raise SystemExit("gov serve did not start")
            yield found[0]
        finally:
            process.kill()


def employ(folder: Path) -> None:
    """Write who reviews: somebody at a terminal, a program's owner, one who surfs."""
    lines = ["reviewers:"]
    for subject, how in (
        ("tess", f"osUser: {os_user()}"),
        ("hank", f"tokenSha256: {sha256(b'token of hank').hexdigest()}"),
        ("bea", f"tokenSha256: {sha256(b'token of bea').hexdigest()}"),
    ):
        groups = f"groups: [{', '.join(GROUPS)}]"
        lines.append(f"  - {{subject: {subject}, {groups}, {how}}}")
    (folder / "reviewers.yaml").write_text("\n".join(lines) + "\n")
    (folder / "reviewers.yaml").chmod(0o644)


@contextmanager
def working(folder: Path, shop: OrderStore) -> Iterator[Agent]:
    """Lend the agent in *folder*, at approval_required."""
    shutil.copyfile(GOVERNANCE, folder / "governance.yaml")
    employ(folder)
    people = ReviewerDirectory(folder / "reviewers.yaml")
    with (
        file_host(folder / "flags.json", "approval_required", 0.5) as host,
        Governor.open(
            folder / "governance.yaml",
            host.provider,
            folder / "records.db",
            people=people,
        ) as governor,
    ):
        one = Agent(folder, shop, governor)
        with closing(one.store), closing(one.expected):
            yield one


def run(
    folder: Path,
    shop: OrderStore,
    calls: Sequence[RecordedCall],
    *,
    pictures: Path | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Play *calls* in *folder*, let people answer, and return what was counted."""
    with (
        working(folder, shop) as one,
        serving(folder) as url,
        browsing() as browser,
        closing(Caller(url, "token of hank")) as caller,
    ):
        terminal = Terminal(folder)
        channels: tuple[tuple[str, str, Channel], ...] = (
            ("login", "bea", Surfer(browser, url, "token of bea", pictures)),
            ("token", "hank", caller),
            ("cli", "tess", terminal),
        )
        waiting: list[str] = []
        tasks = by_task(calls)
        for number, (_, task) in enumerate(tasks, 1):
            waiting += one.play(task)
            if len(waiting) >= WAVE or number == len(tasks):
                answer(one, waiting, channels, terminal)
                waiting = []
                told(f"{number} of {len(tasks)} tasks, {len(one.asked)} requests")
        check(one)
        return one.tally


def answer(
    one: Agent,
    waiting: Sequence[str],
    channels: Sequence[tuple[str, str, Channel]],
    terminal: Terminal,
) -> None:
    """Let people answer what waits, and the agent go on."""
    tally = one.tally
    for request_id in waiting:
        _, what = one.asked[request_id]
        tally.planned[what] += 1
        if what == "leave":
            continue
        way, who, channel = channels[sum(tally.channels.values()) % len(channels)]
        tally.channels[way] += 1
        channel(request_id, what)
        found = one.request(request_id)
        if found.reviewer != who:
            tally.wrong.append(f"{request_id}: answered by {found.reviewer}, not {who}")
        one.resume(request_id)
    left = [one_id for one_id in waiting if one.asked[one_id][1] == "leave"]
    for hours in (1, 2, 3):
        if any(one.request(this).state is State.PENDING for this in left):
            terminal.expire(hours)
    for request_id in left:
        one.resume(request_id)


def check(one: Agent) -> None:
    """Compare shop, requests and records with what had to become of them."""
    tally = one.tally
    if one.store.fingerprint() != one.expected.fingerprint():
        changed = one.store.changes_since(one.expected.baseline())
        tally.wrong.append(f"the shop differs from what was approved: {changed}")
    allowed = {
        "approve": {State.EXECUTED},
        "refuse": {State.REFUSED},
        "leave": {State.EXPIRED},
    }
    for request_id, (call, what) in one.asked.items():
        state = one.request(request_id).state
        tally.states[state.value] += 1
        if request_id in tally.moot:
            if state is State.EXECUTED:
                tally.wrong.append(f"{call.tool}: executed, though the shop refuses it")
        elif state not in allowed[what]:
            tally.wrong.append(f"{call.tool}, {what}: {state.value}")
    one.governor.records.flush()  # type: ignore[attr-defined] # of this store
    told = history.records(one.folder / "records.db")
    answers = [r for r in told if r["kind"] == "approval" and not r["denied"]]
    ways = Counter(r["way"] for r in answers if r["event"] in ("approve", "refuse"))
    if ways != tally.channels:
        tally.wrong.append(f"the records say {dict(ways)}, not {dict(tally.channels)}")
    released = {
        verdict["evidence"]["approval"]
        for r in told
        if r["kind"] == "decision" and r["executes"]
        for verdict in r["verdicts"]
        if verdict["control"] == "release" and verdict["reason"] == "approved"
    }
    planned = {name for name, (_, what) in one.asked.items() if what == "approve"}
    if not planned - tally.moot <= released <= planned:
        tally.wrong.append(f"{len(released ^ planned)} releases were used otherwise")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it all; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=Path, default=CALLS)
    parser.add_argument("--store", type=Path, default=SHOP)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args(arguments)
    if CHROMIUM is None:
        print("no chromium: apt-get install chromium", file=sys.stderr)
        return 3
    calls, started = read_calls(options.calls), time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(read_store(options.store)) as shop,
    ):
        tally = run(
            Path(folder),
            shop,
            calls,
            pictures=options.pictures,
            told=lambda text: print(text, file=sys.stderr, flush=True),
        )
    found = {
        "calls": len(calls),
        "queued": tally.queued,
        "planned": dict(tally.planned),
        "channels": dict(tally.channels),
        "moot": len(tally.moot),
        "states": dict(tally.states),
        "wrong": tally.wrong,
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(found))
    return 4 if tally.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
