"""A support agent whose every tool call is governed.

This is what it takes to put tools under governance: register each with what derives
its facts (`govern`), say who acts (`support_context`), and let the decision come before
the call (`play`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from openfeature_gov.contracts import Actor, CallContext, ToolCall
from openfeature_gov.decisions import Effect
from openfeature_gov.demo import consequences
from openfeature_gov.demo.orders import TOOLS, OrderError, OrderStore
from openfeature_gov.demo.recorded import RecordedCall
from openfeature_gov.extracting import Extractors
from openfeature_gov.governor import Governor
from openfeature_gov.outcomes import Outcome, Status
from openfeature_gov.tools import Undo, Undoing

Tools = Mapping[str, Callable[..., Any]]
HAND_OVER = "transfer_to_human_agents"
CANCEL = "cancel_pending_order"
MONEY = frozenset(
    {
        "cancel_pending_order",
        "exchange_delivered_order_items",
        "modify_pending_order_items",
        "modify_pending_order_payment",
        "refund_order",
        "return_delivered_order_items",
    }
)
"""The tools that move money: their amount is derived before anything is decided."""
WRITES = MONEY | {"modify_pending_order_address", "modify_user_address"}
"""The tools that can be prepared instead: as a draft, or as a note for a person."""
IDS = ("order_id", "user_id", "item_id", "product_id")
SCOPES = frozenset(
    {
        "catalogue:read",
        "customers:read",
        "customers:write",
        "desk:write",
        "orders:read",
        "orders:write",
        "payments:charge",
        "payments:refund",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Hold what became of one recorded call.

    *value* is what the tool or its handler returned; *refusal* what the shop itself
    said to a call that governance let through, empty otherwise.
    """

    call: RecordedCall
    outcome: Outcome
    value: Any = None
    refusal: str = ""

    @property
    def wrote(self) -> bool:
        """Say whether a tool that can change something ran, and was not refused."""
        contract = self.outcome.contract
        ran = self.outcome.ran == "tool" and not self.refusal
        return ran and contract is not None and not contract.mere_read

    @property
    def word(self) -> str:
        """Name what became of the call in one of `WORDS`."""
        return WORDS[self.outcome.effect]


WORDS: Mapping[Effect, str] = {
    Effect.ALLOW: "allowed",
    Effect.CONSTRAIN: "constrained",
    Effect.QUEUE_FOR_APPROVAL: "queued",
    Effect.DENY: "denied",
    Effect.FALLBACK: "fell back",
}


def govern(governor: Governor, store: OrderStore) -> Tools:
    """Register every tool of *store* with *governor*; return them behind their gate.

    What a call would move and touch is asked of the same store that the tools act on.

    Raises:
        RegistrationError: the governance of *governor* lacks a tool, or has it already.

    """
    return {
        name: governor.tool(
            name,
            extract=Extractors(
                amount=partial(store.amount_of, name) if name in MONEY else None,
                records=partial(store.records_of, name),
                record=_target,
                currency="USD",
            ),
            consequence=consequences.of(store, name),
            draft=_drafting(store, name) if name in WRITES else None,
            fallback=_handing_over(store, name) if name in WRITES else None,
            undo=_undoing(store) if name == CANCEL else None,
            refusals=(OrderError,),
        )(getattr(store, name))
        for name in TOOLS
    }


def support_context(task: str, *, run: str = "demo") -> CallContext:
    """Say who acts in *task* of *run*: opaque ids, issued by the host, no names.

    Raises:
        InvalidCallError: *task* or *run* is not opaque.

    """
    actor = Actor(
        agent="support-agent",
        instance="support-agent-1",
        version="1.4.0",
        service="support-agent-service",
        user=f"caller-{task}",
        session=f"session-{run}-{task}",
        scopes=SCOPES,
    )
    return CallContext(
        actor=actor,
        account="example-shop",
        environment="demo",
        region="local",
        task=f"{run}/{task}",
        trigger="chat",
    )


def play(
    governor: Governor,
    tools: Tools,
    *,
    calls: Iterable[RecordedCall],
    run: str = "demo",
) -> Iterator[Played]:
    """Put *calls* to *governor*, one by one, and run what may run of *tools*.

    *run* becomes part of the task's id in the records. A tool that refuses is recorded
    as failed and yields its refusal; nothing that a policy says is raised.

    Raises:
        InvalidCallError: the id of a task is not opaque.

    """
    contexts: dict[str, CallContext] = {}
    for call in calls:
        context = contexts.setdefault(call.task, support_context(call.task, run=run))
        name = f"{run}-{call.task}-{call.step}"
        proposed = ToolCall(call.tool, call.arguments, context, name)
        outcome = governor.enforce(proposed)
        if outcome.status is not Status.RELEASED:
            yield Played(call=call, outcome=outcome, value=outcome.value)
            continue
        try:
            # The gate finds the ticket that the decision left, and takes it.
            value = tools[call.tool](**outcome.arguments)
        except OrderError as error:
            yield Played(call=call, outcome=outcome, refusal=str(error))
        else:
            yield Played(call=call, outcome=outcome, value=value)


def _target(arguments: Mapping[str, Any]) -> str:
    return next((arguments[name] for name in IDS if name in arguments), "")


def _drafting(store: OrderStore, tool: str) -> Callable[..., int]:
    def draft(**arguments: Any) -> int:
        return store.draft(tool, arguments)

    return draft


def _undoing(store: OrderStore) -> Undo:
    def undo(one: Undoing) -> None:
        store.restore_cancelled_order(one.arguments["order_id"])

    return undo


def _handing_over(store: OrderStore, tool: str) -> Callable[..., str]:
    def hand_over(**arguments: Any) -> str:
        target = _target(arguments)
        note = f"During an incident the agent could not {tool} for {target}."
        return store.transfer_to_human_agents(f"{note} Please take over.")

    return hand_over
