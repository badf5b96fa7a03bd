"""Govern a retail support agent through every mode, and stop it in the middle.

    python examples/retail_support.py
    python examples/retail_support.py --calls CALLS.jsonl --store SHOP.json
    python examples/retail_support.py --featbit

Plays recorded tool calls in each mode of the ladder against a real order store, which
starts anew with every task, and counts what was decided and what changed. Then it
flips the kill switch half-way through an autonomous run, and lets a person look at what
was cancelled at once: what is refused is undone, exactly. Exits 1 if the store tells
that a promise of a mode was not kept. Offline; nothing is left behind, or with
``--keep FOLDER`` the records of every decision, for ``gov audit``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from openfeature_gov.decisions import Effect
from openfeature_gov.demo.acts import CALM
from openfeature_gov.demo.afterwards import ReviewReport, review_cancels
from openfeature_gov.demo.agent import Played
from openfeature_gov.demo.flags import APPROVAL, GLOBAL, INCIDENT, MODE
from openfeature_gov.demo.ledger import Ledger
from openfeature_gov.demo.orders import OrderError, OrderStore
from openfeature_gov.demo.recorded import (
    CALLS,
    SHOP,
    RecordedCall,
    by_task,
    read_calls,
    read_store,
)
from openfeature_gov.demo.session import Session, edit, opened
from openfeature_gov.demo.tally import Tally, count
from openfeature_gov.errors import GovernanceError
from openfeature_gov.ladder import MODES, Mode

POLL_S = 0.05
RELEASED = {**CALM, MODE: Mode.AUTONOMOUS.label, APPROVAL: "false"}
SETTINGS: Mapping[str, Mapping[str, str]] = {
    **{name: {**CALM, MODE: name} for name in MODES},
    Mode.AUTONOMOUS.label: RELEASED,
    "incident": {**RELEASED, INCIDENT: "true"},
}
"""What is played: every mode, the highest without approval, and an incident in it."""
UNDOABLE = frozenset({"customers"})
"""The tables that a tool with automatic reversal changes."""
Advance = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeReport:
    """Say what one run in one setting came to, and which promises it broke."""

    setting: str
    tally: Tally
    changed_rows: dict[str, int]
    fingerprint_equal: bool
    drafts_kept: int
    hand_overs: int
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KillReport:
    """Say what the kill switch did to a run: *first* counts calls from 1."""

    calls: int
    first: int
    ran_before: int
    latency_ms: float
    denied_after: int
    ran_after: int
    broken: tuple[str, ...]


def govern_calls(
    calls: Sequence[RecordedCall],
    pristine: OrderStore,
    *,
    featbit: bool = False,
    advance: Advance = lambda: None,
    keep: Path | None = None,
) -> tuple[list[ModeReport], KillReport]:
    """Play *calls* in every setting, then with the kill switch in the middle.

    *pristine* is the shop, and stays as it is; *advance* is told of each call. With
    *featbit* the flags are in a simulated FeatBit server, changed through its API.
    *keep* is the folder that keeps the records, made if missing.
    """
    with _folder(keep) as folder:
        live = opened(
            folder, pristine, mode="off", poll_seconds=POLL_S, featbit=featbit
        )
        with live as session:
            reports = [
                run_setting(session, pristine, calls=calls, name=name, advance=advance)
                for name in SETTINGS
            ]
            killed = kill_midway(session, pristine, calls=calls, advance=advance)
    return reports, killed


def review_afterwards(
    calls: Sequence[RecordedCall], pristine: OrderStore, *, keep: Path | None = None
) -> ReviewReport:
    """Let every cancellation run at once, and a person look at it afterwards."""
    place = None if keep is None else keep / "reviewed"
    with _folder(place) as folder:
        return review_cancels(folder, pristine, calls, poll_seconds=POLL_S)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="gov-retail-") as folder:
        yield Path(folder)


def run_setting(
    session: Session,
    pristine: OrderStore,
    *,
    calls: Sequence[RecordedCall],
    name: str,
    advance: Advance,
) -> ModeReport:
    """Play *calls* under the flags of the setting *name* and report."""
    edit(session, SETTINGS[name])
    ledger = Ledger(session.store, pristine)
    every = list(_played(session, calls, ledger, name, advance))
    ledger.settle()
    rows = dict(sorted(ledger.rows.items()))
    return ModeReport(
        setting=name,
        tally=count(every),
        changed_rows=rows,
        fingerprint_equal=ledger.same,
        drafts_kept=ledger.drafts,
        hand_overs=ledger.hand_overs,
        broken=tuple(broken_promises(name, every, rows=rows, same=ledger.same)),
    )


def kill_midway(
    session: Session,
    pristine: OrderStore,
    *,
    calls: Sequence[RecordedCall],
    advance: Advance,
) -> KillReport:
    """Play *calls* with full autonomy, flip the kill switch half-way, go on.

    The flag is edited in the file or in FeatBit, and the running Governor alone
    follows it.
    """
    edit(session, RELEASED)
    half = len(calls) // 2
    ledger = Ledger(session.store, pristine)
    before = list(_played(session, calls[:half], ledger, "before-kill", advance))
    at_kill = session.store.fingerprint()
    stopped = edit(session, {GLOBAL: "false"})
    after = list(_played(session, calls[half:], ledger, "after-kill", advance))
    denied = sum(one.outcome.effect is Effect.DENY for one in after)
    ran = sum(bool(one.outcome.ran) for one in after)
    broken = []
    if denied < len(after) or ran:
        broken.append(f"kill switch: {denied} of {len(after)} denied, {ran} ran")
    if session.store.fingerprint() != at_kill:
        broken.append("kill switch: the store changed after it")
    return KillReport(
        calls=len(calls),
        first=half + 1,
        ran_before=sum(bool(one.outcome.ran) for one in before),
        latency_ms=round((stopped.seconds or 0.0) * 1000, 1),
        denied_after=denied,
        ran_after=ran,
        broken=tuple(broken),
    )


def broken_promises(
    name: str, every: Iterable[Played], *, rows: Mapping[str, int], same: bool
) -> Iterator[str]:
    """Yield what the setting *name* promises and the run did not keep.

    *rows* are the rows that changed, by table, and *same* says that the fingerprint
    did not: both as the store itself tells.
    """
    calls = list(every)
    grave = [one for one in calls if one.outcome.decision.need is Mode.AUTONOMOUS]
    held = (Effect.QUEUE_FOR_APPROVAL, Effect.DENY)
    below = name == "incident" or MODES[name] <= Mode.SCOPED_READ
    if name in ("off", "observe") and any(one.outcome.ran for one in calls):
        yield f"{name}: something ran"
    if below and (rows or not same):
        yield f"{name}: the store changed: {dict(rows)}"
    if name in ("draft_write", "approval_required") and not rows.keys() <= UNDOABLE:
        yield f"{name}: more changed than can be undone: {dict(rows)}"
    if name != Mode.AUTONOMOUS.label and any(o.outcome.ran == "tool" for o in grave):
        yield f"{name}: an action ran that needs autonomy"
    waited = all(one.outcome.effect in held for one in grave)
    if name == "approval_required" and not waited:
        yield f"{name}: an action that needs autonomy did not wait"
    if any(o.wrote and o.call.tool == "refund_order" for o in calls):
        yield f"{name}: a refund ran without a person"


def _played(
    session: Session,
    calls: Sequence[RecordedCall],
    ledger: Ledger,
    run: str,
    advance: Advance,
) -> Iterator[Played]:
    wrote = False
    for _, task in by_task(calls):
        if wrote:
            ledger.settle()
        wrote = False
        for played in session.play(task, run):
            wrote = wrote or played.wrote
            advance()
            yield played


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; return 0 if every promise held, 1 if not, 2 for bad input."""
    options = _options().parse_args(arguments)
    try:
        calls, pristine = read_calls(options.calls), read_store(options.store)
        with closing(pristine), progress(len(calls) * (len(SETTINGS) + 1)) as advance:
            reports, killed = govern_calls(
                calls,
                pristine,
                featbit=options.featbit,
                advance=advance,
                keep=options.keep,
            )
            looked = review_afterwards(calls, pristine, keep=options.keep)
    except (OSError, ValueError, OrderError, GovernanceError) as error:
        print(f"retail_support: {error}", file=sys.stderr)
        return 2
    broken = [*(b for one in reports for b in one.broken), *killed.broken]
    broken += looked.broken
    tasks = len({call.task for call in calls})
    if options.json:
        found = {
            "calls": len(calls),
            "tasks": tasks,
            "settings": [asdict(one) for one in reports],
            "killSwitch": asdict(killed),
            "reviews": asdict(looked),
            "broken": broken,
        }
        print(json.dumps(found, indent=2))
    else:
        print(f"{len(calls)} tool calls of {tasks} tasks, under every mode\n")
        _print(reports, killed)
        _print_reviews(looked)
    for promise in broken:
        print(f"PROMISE BROKEN: {promise}", file=sys.stderr)
    return 1 if broken else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=Path, default=CALLS, help="JSON Lines of calls")
    parser.add_argument("--store", type=Path, default=SHOP, help="JSON of the shop")
    parser.add_argument(
        "--featbit", action="store_true", help="flags in a simulated FeatBit server"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="a new folder for the records"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


@contextmanager
def progress(total: int) -> Iterator[Advance]:
    """Lend what counts one call, with rich's bar on a terminal where it is there."""
    if not sys.stderr.isatty():
        yield lambda: None
    elif importlib.util.find_spec("rich") is None:
        print(f"governing {total} calls ...", file=sys.stderr)
        yield lambda: None
    else:
        from rich.console import Console  # noqa: PLC0415 - optional
        from rich.progress import Progress  # noqa: PLC0415 - optional

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("governing", total=total)
            yield lambda: bar.advance(task)


def _print(reports: Sequence[ModeReport], killed: KillReport) -> None:
    print(
        "mode              allowed  constrained  queued  denied  fell back  the store"
    )
    for one in reports:
        tally, rows = one.tally, sum(one.changed_rows.values())
        store = "fingerprint equal" if one.fingerprint_equal else f"{rows} rows changed"
        print(
            f"{one.setting:<17} {tally.allowed:>7} {tally.constrained:>12} "
            f"{tally.queued:>7} {tally.denied:>7} {tally.fell_back:>10}  {store}"
        )
    print("\nautonomous: approval is waived up to 1000 dollars; refunds always wait")
    print("incident:   autonomous, and the incident flag is on\n")
    for one in reports:
        _print_details(one)
    print(f"\nKill switch before call {killed.first} of {killed.calls}, at autonomous")
    print(f"  ran before it         {killed.ran_before}")
    print(f"  edit to first denial  {killed.latency_ms} ms")
    print(f"  denied after it       {killed.denied_after} calls")
    print(f"  ran after it          {killed.ran_after or 'nothing'}")


def _print_reviews(looked: ReviewReport) -> None:
    print(f"\nOf {looked.calls} cancellations a person looked at what ran at once")
    print(f"  ran at once           {looked.ran}")
    print(f"  refused by the shop   {looked.void}")
    print(f"  waited for approval   {looked.waited}")
    print(f"  accepted, they stand  {looked.accepted}")
    print(f"  refused and undone    {looked.refused}")
    print(f"  restored exactly      {looked.restored}")


def _print_details(report: ModeReport) -> None:
    rows = ", ".join(f"{name} {number}" for name, number in report.changed_rows.items())
    facts = {
        "kept as drafts": report.drafts_kept,
        "left to a person": report.hand_overs,
        "refused by the shop": report.tally.refused,
        "rows": rows,
    }
    told = "; ".join(f"{name}: {fact}" for name, fact in facts.items() if fact)
    if told:
        print(textwrap.fill(f"{report.setting}: {told}", 96, subsequent_indent="  "))


if __name__ == "__main__":
    sys.exit(main())
