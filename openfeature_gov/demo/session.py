"""One governed agent on its own files: contracts, flags, records, and a shop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from openfeature_gov.approvals.people import Directory
from openfeature_gov.contracts import ToolCall
from openfeature_gov.demo import agent, flags
from openfeature_gov.demo.hosts import featbit_host, file_host
from openfeature_gov.demo.orders import OrderStore
from openfeature_gov.demo.recorded import GOVERNANCE, RecordedCall
from openfeature_gov.governor import Governor
from openfeature_gov.targets import FlagTarget

FLAGS, RECORDS = "flags.json", "records.db"
REVIEW = "{withinMinutes: 240, reviewerGroup: support-leads, onExpiry: undo}"
"""Who looks at a cancellation, and what silence means."""
PATIENCE_S = 10.0
"""How long `seen` waits for an edit before it says that nobody saw it."""
_FLAG_CONTROLS = frozenset({"switch", "mode", "approval", "denylist", "fallback"})
_PROBES = (
    ToolCall(agent.HAND_OVER, {"summary": "probe"}),
    ToolCall(
        "cancel_pending_order", {"order_id": "probe", "reason": "no longer needed"}
    ),
    ToolCall("refund_order", {"order_id": "probe", "amount": "1", "reason": "probe"}),
)
"""Calls that are only planned; between them they depend on every flag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Hold a running agent and the files it lives on, until `opened` ends."""

    folder: Path
    store: OrderStore
    governor: Governor
    tools: agent.Tools
    target: FlagTarget
    """Where the flags are: change them there, and the next decisions follow."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files that a person may look at: contracts, flags, records."""
        named = (self.governance, self.folder / FLAGS, self.records)
        return tuple(path for path in named if path.exists())

    @property
    def records(self) -> Path:
        """Return the record log."""
        return self.folder / RECORDS

    @property
    def governance(self) -> Path:
        """Return the session's own copy of the governance contracts."""
        return self.folder / "governance.yaml"

    def play(self, calls: Iterable[RecordedCall], run: str) -> Iterator[agent.Played]:
        """Yield what becomes of each of *calls*; *run* names them in the records."""
        return agent.play(self.governor, self.tools, calls=calls, run=run)


@contextmanager
def opened(
    folder: Path,
    shop: OrderStore,
    *,
    mode: str = "draft_write",
    poll_seconds: float = 0.5,
    featbit: bool = False,
    people: Directory | None = None,
) -> Iterator[Session]:
    """Run an agent on a copy of *shop* in *folder*, starting in *mode*.

    The flag file is looked at every *poll_seconds*, as `Governor.open` does twice a
    second; with *featbit* the flags are in a FeatBit server instead. With *people* they
    look at what the agent cancelled afterwards, as `REVIEW` says.

    Raises:
        FileExistsError: *folder* holds a session already.
        OSError: *folder* cannot be written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (FLAGS, RECORDS, "shop.db"):
        if (folder / name).exists():
            raise FileExistsError(f"{folder}: holds {name}; name a new or empty folder")
    contracts = folder / "governance.yaml"
    text = GOVERNANCE.read_text("utf-8")
    contracts.write_text(text if people is None else reviewed(text), "utf-8")
    place = folder / FLAGS
    hosted = featbit_host(mode) if featbit else file_host(place, mode, poll_seconds)
    with (
        closing(shop.copy(str(folder / "shop.db"))) as store,
        hosted as host,
        Governor.open(
            contracts, host.provider, folder / RECORDS, people=people
        ) as governor,
    ):
        yield Session(
            folder=folder,
            store=store,
            governor=governor,
            tools=agent.govern(governor, store),
            target=host.target,
        )


def reviewed(contracts: str) -> str:
    """Return *contracts* with the review of what the agent cancels."""
    named = f"    tool: {agent.CANCEL}\n"
    return contracts.replace(named, f"{named}    review: {REVIEW}\n")


@dataclass(frozen=True, slots=True)
class Edit:
    """Say what an edit of flags changed and when a decision first saw it.

    *seconds* counts from the moment the edit was made; None if nobody measured.
    """

    changes: tuple[flags.Change, ...]
    seconds: float | None


def edit(session: Session, wanted: Mapping[str, str]) -> Edit:
    """Change flags and return once a decision has seen it.

    Nothing is told to the Governor: it learns of the edit by itself.

    Raises:
        TimeoutError: no decision saw the edit within `PATIENCE_S` seconds.

    """
    before = _opinions(session)
    changes = flags.serve(session.target, wanted)
    written = time.monotonic()
    while changes and _opinions(session) == before:
        if time.monotonic() - written > PATIENCE_S:
            place = session.target.name
            keys = ", ".join(change.flag for change in changes)
            raise TimeoutError(f"{place}: no decision saw the edit of {keys}")
        time.sleep(0.002)
    return Edit(changes, time.monotonic() - written if changes else 0.0)


def _opinions(session: Session) -> list[object]:
    with session.governor.acting(agent.support_context("probe")):
        plans = map(session.governor.plan, _PROBES)
        return [
            (verdict.control, verdict.cap, verdict.reason)
            for plan in plans
            for verdict in plan.decision.verdicts
            if verdict.control in _FLAG_CONTROLS
        ]
