"""How a request for approval is shown: whole, exact, and without disguise.

Whatever an agent may have written stands behind a gutter, each value on lines of its
own, folded here: it can neither draw over the card nor look like a part of it. Control,
bidi and zero-width characters are escapes, and a long value says how much is hidden.
"""

from __future__ import annotations

import re

from rich.cells import chop_cells
from rich.console import Console
from rich.text import Text

from openfeature_gov.approvals.queue import CONTACT_US
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.showing import (
    head,
    leaves,
    size,
    uncommon,
    visible,
    word,
)
from openfeature_gov.approvals.states import OPEN, State
from openfeature_gov.cli import output

SHOWN_BYTES = 1_000
"""UTF-8 bytes of one value that are shown unless everything is."""
SHOWN_VALUES = 200
SHOWN_CHARACTERS = 8
"""Different characters beyond ASCII that are named below a value."""
LABEL = 15
PLAIN = re.compile(r"[A-Za-z0-9_ .:()\[\]-]+")
"""A name that can stand before the gutter as it is; a quoted key is none."""
UNDO = {
    "automatic": "is undone by the system",
    "manual": "can be undone by hand",
    "expensive": "can be undone at a cost",
    "none": "cannot be undone",
}
WHOM = (
    ("agent", "agent"),
    ("user", "user"),
    ("account", "account"),
    ("system", "targetSystem"),
    ("record", "targetRecord"),
    ("intent", "intent"),
    ("amount", "amount"),
    ("currency", "currency"),
    ("records", "records"),
    ("cost", "cost"),
    ("environment", "environment"),
    ("region", "region"),
    ("stage", "stage"),
)
CLAIMS = (
    ("confidence", "confidence"),
    ("source", "sources"),
    ("alternative", "alternatives"),
)


class Card:
    """Draw *request* on *console* for one reviewer; lives for one command.

    *full* shows every byte. What was hidden is counted in `hidden`.
    """

    HAPPENS, RUNS, WAITS = "What happens", "What runs", "Why it waits"

    def __init__(self, console: Console, request: Request, *, full: bool) -> None:
        self._console, self._request, self._full = console, request, full
        self._facts = request.facts
        self._bar = "|" if console.options.ascii_only else "│"
        self.hidden = 0

    def draw(self, now_us: int, objection: str | None) -> None:
        """Print the card; *objection* is why its reader may not answer."""
        request = self._request
        self._head(f"{request.tool}: {request.state.value}", request.id)
        self._consequence()
        self._arguments()
        self._whom()
        self._why()
        if request.state in OPEN:
            self._time(now_us)
        self._votes()
        self._questions()
        self._fingerprint(objection)

    def _consequence(self) -> None:
        said = str(self._facts.get("consequence") or "")
        self._head(self.HAPPENS)
        self._entry("", said or "(the tool says nothing about it)", prose=True)
        undo = str(self._facts.get("reversibility", ""))
        risk = str(self._facts.get("riskClass") or "unknown")
        self._entry("risk", f"{risk}; {UNDO.get(undo, 'nobody knows how to undo it')}")

    def _arguments(self) -> None:
        data = self._request.arguments
        every = leaves(data)
        self._head(self.RUNS, f"{len(data):,} bytes, {len(every):,} values")
        shown = every if self._full else every[:SHOWN_VALUES]
        for path, value in shown:
            self._entry(path, word(value), quoted=type(value) is str)
        rest = every[len(shown) :]
        if rest:
            left = sum(size(path) + size(word(value)) for path, value in rest)
            self._hide(left, f"in {len(rest):,} more values")
        for one in self._request.constraints:
            listed = ", ".join(sorted(one.among or ()))
            among = "" if one.among is None else f" among {listed or 'nothing'}"
            most = "" if one.limit is None else f" at most {one.limit}"
            self._entry("(limit)", f"{one.kind}{most}{among}")

    def _whom(self) -> None:
        self._head("For whom")
        facts = {"agent": self._request.agent, **self._facts}
        for name, key in WHOM:
            if facts.get(key) not in (None, ""):
                self._entry(name, str(facts[key]))
        for name, value in (
            ("workflow", self._request.workflow),
            ("task", self._request.task),
            ("behind it", ", ".join(self._request.requesters)),
        ):
            self._entry(name, value)
        self._head("What the agent says")
        for name, key in CLAIMS:
            told = self._facts.get(key)
            for one in told if isinstance(told, list | tuple) else [told]:
                if one not in (None, ""):
                    self._entry(name, str(one))

    def _why(self) -> None:
        self._head(self.WAITS, str(self._facts.get("reason") or ""))
        for one in self._facts.get("verdicts") or ():
            self._entry(visible(str(one["control"])), f"{one['cap']}: {one['reason']}")
        self._head("Flags", f"contract {str(self._facts.get('contract') or '')[:12]}")
        for one in self._facts.get("flags") or ():
            state = one["fault"] or f"{one['variant']}, version {one['version']}"
            self._entry(visible(str(one["kind"])), f"{one['key']} = {state}")

    def _time(self, now_us: int) -> None:
        request = self._request
        self._head("If nobody answers")
        left = request.deadline_us - now_us
        when = f"in {span(left)}" if left > 0 else f"{span(-left)} ago"
        self._entry("deadline", f"{output.moment(request.deadline_us)} UTC, {when}")
        if request.turn:
            self._entry("asked", f"{request.turn}, whose turn it is")
        chain = (request.group, *request.escalation)
        for level, one in enumerate(chain):
            patience = span(request.patience_us or CONTACT_US)
            late = f", with {patience}" if level > request.level else ""
            now = level == request.level and not request.turn
            turn = ", whose turn it is" if now else late
            self._entry("asked" if level <= request.level else "then", one + turn)
        if request.state is State.APPROVED:
            self._entry("at the end", "the release expires; nothing runs")
            return
        mode = self._facts.get("timeout") or "off"
        end = "nothing runs" if mode == "off" else f"no more than {mode} is left of it"
        self._entry("at the end", f"it expires: {end}")

    def _votes(self) -> None:
        request = self._request
        self._head("Votes", f"{len(request.votes)} of {request.quorum}")
        for subject, reason in request.votes.items():
            self._entry("approved", f"{subject}: {reason}" if reason else subject)
        if request.answered_us and request.state is not State.PENDING:
            said = f"{request.state.value} by {request.reviewer}: {request.reason}"
            self._entry("answer", said)

    def _questions(self) -> None:
        request = self._request
        for subject, reason in request.callers.items():
            said = "broke glass" if request.glass_broken else "reached nobody"
            self._entry(said, f"{subject}: {reason}")
        if request.questions:
            self._head("Questions", f"{len(request.questions)}")
        for number, one in enumerate(request.questions, 1):
            self._entry(f"{number} asked", f"{one.by}: {one.text}")
            if one.answered_by:
                self._entry(f"{number} answered", f"{one.answered_by}: {one.answer}")

    def _fingerprint(self, objection: str | None) -> None:
        request = self._request
        self._head("Fingerprint")
        if objection is not None:
            self._entry("you", f"may not answer: {objection}")
        if self.hidden:
            again = f"{self.hidden:,} bytes are hidden; --full shows them and it"
            self._entry("", again)
            return
        self._entry("", request.fingerprint)
        if objection is None and request.state is State.PENDING:
            how = f"gov approvals approve {request.id} --seen {request.fingerprint}"
            self._print(Text(visible(how), "dim"))

    def _head(self, title: str, note: str = "") -> None:
        text = Text(f"{visible(title)}  ", "bold").append(visible(note), "dim")
        self._console.print()
        self._print(text)

    def _entry(
        self, name: str, value: str, *, quoted: bool = False, prose: bool = False
    ) -> None:
        """Print one value behind the gutter, with its *name* before it.

        A *name* that does not fit there is shown like a value itself.
        """
        if name and (not PLAIN.fullmatch(name) or len(name) > self._console.width - 4):
            key = self._cut(name)
            self._gutter("(key)", key)
            self._odd(key)
            self._hide(size(name) - size(key), "of this key")
            name = "(value)"
        shown = value if prose else self._cut(value)
        mark = '"' if quoted else ""
        first, *more = shown.split("\n") if prose else [shown]
        text = visible(first, quoted=quoted)
        self._gutter(name, f"{mark}{text}{mark if shown == value else ''}")
        for line in more:
            self._gutter("(new line)", visible(line))
        if not prose:
            self._odd(shown)
        self._hide(size(value) - size(shown), "of this value")

    def _cut(self, text: str) -> str:
        return text if self._full else head(text, SHOWN_BYTES)

    def _gutter(self, name: str, text: str) -> None:
        label = f"  {name:<{LABEL}} {self._bar} "
        if len(name) > LABEL:
            self._print(Text(f"  {name}"))
            label = f"  {'':<{LABEL}} {self._bar} "
        width = max(20, self._console.width - len(label))
        for chunk in chop_cells(text, width) or [""]:
            self._print(Text.assemble((label, "dim"), chunk))
            label = f"  {'':<{LABEL}} {self._bar} "

    def _odd(self, value: str) -> None:
        """Name what is not ASCII: it may look like what it is not."""
        told = uncommon(value)
        for one in told[:SHOWN_CHARACTERS]:
            self._gutter("(not ASCII)", one)
        if len(told) > SHOWN_CHARACTERS:
            self._gutter("(not ASCII)", f"{len(told) - SHOWN_CHARACTERS} others")

    def _hide(self, count: int, where: str) -> None:
        self.hidden += count
        if count:
            self._gutter("(hidden)", f"{count:,} bytes {where}; --full shows them")

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def span(microseconds: int) -> str:
    """Return a duration for people, in the largest unit that fits."""
    seconds = max(0, microseconds) // 1_000_000
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
