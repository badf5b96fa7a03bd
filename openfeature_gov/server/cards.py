"""A request as the page shows it: rows of text, exact, each hiding nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from openfeature_gov.approvals import showing
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.decisions import Constraint
from openfeature_gov.ladder import Mode

SHOWN_BYTES = 1_000
"""UTF-8 bytes of one value that are shown unless everything is."""
SHOWN_VALUES = 200
SHOWN_CHARACTERS = 8
BRIEF_BYTES = 280
"""UTF-8 bytes of the consequence in a list; nobody can answer there."""
UNDO = {
    "automatic": "The system undoes it by itself.",
    "manual": "It can be undone by hand.",
    "expensive": "It can be undone, at a cost.",
    "none": "It cannot be undone.",
}
HARM = {
    "irreversible": "high",
    "admin_action": "high",
    "external_effect": "medium",
    "sensitive_read": "medium",
    "reversible_write": "medium",
}
"""How loud the badge of a risk class is; low for the others, high for an unknown."""
FREE = Mode.AUTONOMOUS.label
MILD = ("search", "scoped_read")
TIMEOUT = {
    "off": "nothing runs",
    "observe": "nothing runs; the call is noted",
    "search_only": "the call may search, no more",
    "scoped_read": "the call may read, no more",
    "draft_write": "the call may make a draft, no more",
}
WHOM = (
    ("User", "user"),
    ("Account", "account"),
    ("System", "targetSystem"),
    ("Record", "targetRecord"),
    ("Intent", "intent"),
    ("Records", "records"),
    ("Cost", "cost"),
    ("Environment", "environment"),
    ("Region", "region"),
    ("Stage", "stage"),
)
CLAIMS = ("confidence", "sources", "alternatives")


class Row(NamedTuple):
    """Hold one value: its *label*, the *text* shown, and what is not in it.

    *quoted* marks a string of the arguments, *hidden* counts bytes that are not
    shown, *foreign* names characters beyond ASCII.
    """

    label: str
    text: str
    quoted: bool = False
    hidden: int = 0
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """Hold everything that a page shows of one request.

    *hidden* counts the bytes that are not shown anywhere on it; *answer* says who
    answered and why, empty while nobody did.
    """

    request: Request
    consequence: tuple[Row, ...]
    arguments: tuple[Row, ...]
    rest: int
    limits: tuple[Row, ...]
    whom: tuple[Row, ...]
    why: tuple[Row, ...]
    flags: tuple[Row, ...]
    votes: tuple[Row, ...]
    talk: tuple[Row, ...]
    amount: str
    risk: str
    harm: str
    undo: str
    silence: str
    asked: str
    deadline: str
    hidden: int

    @property
    def tighten(self) -> Iterator[Constraint]:
        """Yield the limits of the request that a reviewer may lower."""
        return (one for one in self.request.constraints if one.limit is not None)


def card(request: Request, *, full: bool) -> Card:
    """Return *request* as a page shows it; *full* hides no byte."""
    facts = request.facts
    leaves = showing.leaves(request.arguments)
    arguments = [
        row(path, showing.word(value), full=full, quoted=type(value) is str)
        for path, value in (leaves if full else leaves[:SHOWN_VALUES])
    ]
    rest = sum(
        showing.size(path) + showing.size(showing.word(value))
        for path, value in leaves[len(arguments) :]
    )
    parts = {
        "consequence": _lines(str(facts.get("consequence") or ""), full=full),
        "arguments": arguments,
        "limits": [row(*_limit(one), full=full) for one in request.constraints],
        "whom": _rows(_whom(request), full=full),
        "why": _rows(_why(facts, full=full), full=full),
        "flags": _rows(_flags(facts), full=full),
        "votes": _rows(_votes(request), full=full),
        "talk": _rows(_talk(request), full=full),
    }
    hidden = rest + sum(one.hidden for rows in parts.values() for one in rows)
    return Card(
        request,
        **{name: tuple(rows) for name, rows in parts.items()},
        rest=rest,
        amount=amount(request),
        risk=risk(request),
        harm=harm(request),
        undo=_undo(facts),
        silence=_silence(request),
        asked=", then ".join((request.group, *request.escalation)),
        deadline=moment(request.deadline_us),
        hidden=hidden,
    )


def row(label: str, value: str, *, full: bool, quoted: bool = False) -> Row:
    """Return *value* as one row, cut unless *full*; what is cut is counted."""
    shown = value if full else showing.head(value, SHOWN_BYTES)
    odd = showing.uncommon(label + shown)
    more = len(odd) - SHOWN_CHARACTERS
    named = odd[:SHOWN_CHARACTERS] + ([f"{more} other characters"] if more > 0 else [])
    hidden = showing.size(value) - showing.size(shown)
    return Row(label, shown, quoted, hidden, tuple(named))


def risk(request: Request) -> str:
    """Return the risk class for people."""
    return str(request.facts.get("riskClass") or "unknown risk").replace("_", " ")


def harm(request: Request) -> str:
    """Return how loud the badge of *request* is: low, medium or high."""
    name = str(request.facts.get("riskClass"))
    if request.facts.get("reversibility") == "none" and name not in MILD:
        return "high"
    return "low" if name in MILD else HARM.get(name, "high")


def amount(request: Request) -> str:
    """Return the amount with its currency, empty when there is none."""
    value = request.facts.get("amount")
    currency = request.facts.get("currency") or ""
    return "" if value is None else f"{value} {currency}".strip()


def brief(text: str) -> str:
    """Return the beginning of *text* for a list."""
    shown = showing.head(text, BRIEF_BYTES)
    return text if shown == text else f"{shown}…"


def moment(microseconds: int) -> str:
    """Return a time for people, in UTC."""
    try:
        at = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        return "at no time"
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def span(microseconds: int) -> str:
    """Return how far away a time is, in the largest unit that fits."""
    seconds = abs(microseconds) // 1_000_000
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "min")):
        if seconds >= 2 * size:
            left = f"{seconds // size} {unit}"
            break
    else:
        left = f"{seconds} s"
    return f"in {left}" if microseconds >= 0 else f"{left} ago"


def _lines(text: str, *, full: bool) -> list[Row]:
    shown = row("", text, full=full)
    rows = [Row("", line) for line in shown.text.split("\n")]
    return [*rows[:-1], shown._replace(text=rows[-1].text)]


def _rows(pairs: Iterable[tuple[str, str]], *, full: bool) -> list[Row]:
    return [row(label, value, full=full) for label, value in pairs]


def _limit(one: Constraint) -> tuple[str, str]:
    most = [] if one.limit is None else [f"at most {one.limit}"]
    among = [] if one.among is None else [f"only {', '.join(sorted(one.among))}"]
    return one.kind, "; ".join(most + among)


def _whom(request: Request) -> Iterator[tuple[str, str]]:
    yield "Agent", request.agent
    for label, key in WHOM:
        if request.facts.get(key) not in (None, ""):
            yield label, str(request.facts[key])
    yield "Workflow", request.workflow
    yield "Task", request.task
    yield "Behind it", ", ".join(request.requesters)
    for key in CLAIMS:
        told = request.facts.get(key)
        for one in told if isinstance(told, list | tuple) else [told]:
            if one not in (None, ""):
                yield f"Claimed {key}", str(one)


def _why(facts: Any, *, full: bool) -> Iterator[tuple[str, str]]:
    """Yield what held the call back, and in short what did not, unless *full*."""
    yield "Reason", str(facts.get("reason") or "unknown")
    content = []
    for one in facts.get("verdicts") or ():
        if one["cap"] == FREE and not full:
            content.append(str(one["control"]))
        else:
            yield str(one["control"]), f"{one['cap']}: {one['reason']}"
    if content:
        yield "No objection", ", ".join(content)
    yield "Contract", str(facts.get("contract") or "")


def _flags(facts: Any) -> Iterator[tuple[str, str]]:
    for one in facts.get("flags") or ():
        state = one["fault"] or f"{one['variant']}, version {one['version']}"
        yield str(one["kind"]), f"{one['key']} = {state}"


def _votes(request: Request) -> Iterator[tuple[str, str]]:
    yield from request.votes.items()
    for subject, reason in request.callers.items():
        said = "broke the glass" if request.glass_broken else "could reach nobody"
        yield subject, f"{said}: {reason}"


def _talk(request: Request) -> Iterator[tuple[str, str]]:
    for number, one in enumerate(request.questions, 1):
        yield f"{number}. {one.by} asks", one.text
        if one.answered_by:
            yield f"{number}. {one.answered_by} says", one.answer


def _undo(facts: Any) -> str:
    told = UNDO.get(str(facts.get("reversibility")), "Nobody knows how to undo it.")
    owner = facts.get("rollbackOwner")
    return f"{told} Ask {owner}." if owner else told


def _silence(request: Request) -> str:
    if request.state is State.APPROVED:
        return "the release expires; nothing runs"
    if request.level < len(request.escalation):
        return f"{request.escalation[request.level]} is asked"
    mode = str(request.facts.get("timeout") or "off")
    return f"it expires: {TIMEOUT.get(mode, f'the call gets no more than {mode}')}"
