"""Perform the acts on a session and tell what happens as events. Prints nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from openfeature_gov.demo import flags
from openfeature_gov.demo.acts import CALM, Act, calls_of
from openfeature_gov.demo.agent import Played
from openfeature_gov.demo.orders import OrderStore
from openfeature_gov.demo.recorded import RecordedCall
from openfeature_gov.demo.session import Edit, Session, edit
from openfeature_gov.demo.tally import Tally, count


@dataclass(frozen=True, slots=True)
class Begun:
    """Tell that *act* begins; the flag file is as the act before left it."""

    act: Act


@dataclass(frozen=True, slots=True)
class Called:
    """Tell what became of a call, and how many rows of the shop it changed."""

    act: Act
    played: Played
    rows: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Tell what an act came to: its tally, and the shop's changed rows by table."""

    act: Act
    tally: Tally
    changes: dict[str, int]


Event = Begun | Edit | Called | Ended


def perform(
    session: Session, acts: Sequence[Act], *, calls: Sequence[RecordedCall]
) -> Iterator[Event]:
    """Yield what happens while *session* plays *acts*, each as soon as it happened.

    Raises:
        TimeoutError: no decision saw an edit of the flag file.

    """
    for act in acts:
        yield Begun(act)
        if act.serve:
            yield edit(session, act.serve)
        before, played = session.store.baseline(), []
        for event in _called(session, act, calls_of(act, calls)):
            played.append(event.played)
            yield event
        yield Ended(act, count(played), session.store.changes_since(before))


def _called(
    session: Session, act: Act, calls: Iterable[RecordedCall]
) -> Iterator[Called]:
    before = session.store.baseline()
    for played in session.play(calls, act.name):
        # Only a write should have changed the shop; the end of the act looks again.
        rows = 0
        if played.wrote:
            after = session.store.baseline()
            rows = sum(session.store.changes_since(before).values())
            before = after
        yield Called(act, played, rows)


def improvise(
    session: Session, shop: OrderStore, *, calls: Sequence[RecordedCall]
) -> Iterator[Event]:
    """Yield what happens while the agent plays *calls* over and over, without end.

    It starts in `CALM`, and with *shop* anew in every round. Someone else edits the
    flag file; an edit is told before the next call, which may not have seen it yet.

    Raises:
        ValueError: the flag file is no flag document any more.
        TimeoutError: no decision saw the flags of the beginning.

    """
    edit(session, CALM)
    before = flags.values(session.target)
    for number in itertools.count(1):
        session.store.reset(shop)
        act = Act(f"round-{number}", "", "", {}, ())
        for call in calls:
            now = flags.values(session.target)
            if before != now:
                yield Edit(flags.changed(before, now), None)
            before = now
            yield from _called(session, act, [call])
