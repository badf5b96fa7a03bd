"""The Governor and arguments: what is checked is what runs, and nobody edits it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from openfeature_gov import (
    ActionContract,
    Controls,
    Effect,
    Extractors,
    Mode,
    RegistrationError,
    Status,
    ToolCall,
    Verdict,
)
from tests.conftest import CONTEXT, Make
from tests.mailing import MAIL, call, log


def test_arguments_are_copied_before_anything_happens(desk: Make) -> None:
    """A later edit of the caller's list reaches neither the digest nor the run."""
    one = desk(MAIL)
    seen: list[Any] = []
    shared = ["a"]

    @one.governor.tool(extract=Extractors(records=lambda a: _grow(a, shared)))
    def mail(to: list[str]) -> None:
        seen.append(list(to))

    def _grow(arguments: Any, mine: list[str]) -> int:
        mine.append("smuggled")
        return len(arguments["to"])

    one.governor.run(call(to=shared))
    assert seen == [["a"]]


def test_arguments_that_deny_what_they_hold_are_refused(desk: Make) -> None:
    """What a caller's mapping holds is read once: what is checked is what runs."""
    one = desk(MAIL)

    class Lying(dict[str, Any]):
        """Name one key of all that it holds."""

        def keys(self) -> Any:
            return {"to": 1}.keys()

    class Fickle(Mapping[str, Any]):
        """Hold more whenever it is read again."""

        def __init__(self) -> None:
            self.read = 0

        def __iter__(self) -> Iterator[str]:
            self.read += 1
            return iter(("to", "session")[: self.read])

        def __len__(self) -> int:
            return 1

        def __getitem__(self, key: str) -> Any:
            return "x"

    @one.governor.tool(injected=("session",))
    def mail(to: str, *, session: Any = None) -> Any:
        return session

    for given in ({"session": "admin"}, {"bcc": "y"}):
        lying = ToolCall("mail", Lying(to="x", **given), CONTEXT)
        assert one.governor.run(lying).reason == "arguments_mismatch"
    ran = one.governor.run(ToolCall("mail", Fickle(), CONTEXT))
    assert (ran.status, ran.value) == (Status.EXECUTED, None)
    assert len(log(one, "outcome")) == 1


def test_foreign_code_cannot_change_what_runs(desk: Make) -> None:
    """An extractor or guardrail that edits arguments reaches neither hash nor run."""

    def meddle(contract: ActionContract, *_: Any) -> Verdict:
        contract.arguments["amount"] = 999_999
        return Verdict("meddle", Mode.AUTONOMOUS, "fine")

    def edit(arguments: Any) -> int:
        arguments["amount"] = 500
        return 1

    one = desk(MAIL)
    one.governor.tool("mail", extract=Extractors(records=edit))(one.spy)
    one.governor.run(call(amount=5))
    assert one.calls == [{"amount": 5}]
    two = desk(MAIL, Controls(guardrails=(("meddle", meddle),)))
    two.governor.tool("mail")(two.spy)
    outcome = two.governor.run(call(amount=5))
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "arguments_altered")
    assert two.calls == []


def test_misfit_arguments_are_denied_with_a_record(desk: Make) -> None:
    """Missing, surplus and doubled arguments are refused before the tool sees them."""
    one = desk(MAIL)

    @one.governor.tool()
    def mail(to: str) -> str:
        return "sent"

    wrong: Any = mail
    with one.governor.acting(CONTEXT):
        assert "denied" in wrong()
        assert "denied" in wrong("x", "y")
        assert "denied" in wrong("x", to="y")
        assert "denied" in wrong(to="x", cc="y")
    reasons = {r["reason"] for r in log(one, "decision")}
    assert reasons == {"arguments_mismatch", "arguments_invalid"}


@pytest.mark.parametrize(
    ("arguments", "detail"),
    [
        ({}, "missing: to, when"),
        ({"to": 1, "wen": 2}, "missing: when; unexpected: wen"),
        ({"to": 1, "when": 2, "cc": 3, "bcc": 4}, "unexpected: bcc, cc"),
        ({"to": 1, "when": 2, "run": 3}, "injected: run"),
        (
            {"to": 1, "when": 2, "ann@corp.example": 3, "cc": 4},
            "unexpected: cc, 2 in all",
        ),
        ({"to": 1, "when": 2, "forget all this": 3}, "unexpected: 1 in all"),
        ({"to": 1, "when": 2, "c\x1b[2Jc": 3, "c\u202e": 4}, "unexpected: 2 in all"),
        ({"to": 1, "when": 2, "c\n": 3, 4: 5, None: 6}, "unexpected: 3 in all"),
        ({"to": 1, "when": 2, "c" * 65: 3}, "unexpected: 1 in all"),
        (
            {"to": 1, "when": 2, **dict.fromkeys("abcdefgh")},
            "unexpected: a, b, c, d, e, f, 8 in all",
        ),
    ],
)
def test_a_misfit_is_named_unless_the_model_made_it_up(
    desk: Make, arguments: dict[Any, Any], detail: str
) -> None:
    """The tool's own parameters are; any other name only if it could be one."""
    one = desk(MAIL)
    one.governor.tool("mail", injected=("run",))(lambda to, when, run: None)
    outcome = one.governor.run(ToolCall("mail", arguments, CONTEXT))
    assert outcome.reason == "arguments_mismatch"
    assert log(one, "decision")[-1]["detail"] == detail


def test_defaults_and_injected_parameters(desk: Make) -> None:
    """Omitted defaults are part of the action; injected parameters are not."""
    one = desk(MAIL)
    seen: list[Any] = []

    @one.governor.tool(injected=("session",))
    def mail(to: str, urgent: bool = False, *, session: Any = None) -> str:
        """Send."""
        seen.append((to, urgent, session))
        return "sent"

    first = one.governor.plan(call(to="x")).contract
    second = one.governor.plan(call(to="x", urgent=False)).contract
    assert first is not None
    assert second is not None
    assert first.digest == second.digest
    with one.governor.acting(CONTEXT):
        mail("x", session=object)
    one.governor.run(call(to="y"), injected={"session": 1})
    assert seen == [("x", False, object), ("y", False, 1)]
    assert (mail.__name__, mail.__doc__) == ("mail", "Send.")


def test_injected_parameters_are_not_the_agents(desk: Make) -> None:
    """An argument under an injected name is refused; so is injecting anything else."""
    one = desk(MAIL)

    @one.governor.tool(injected=("session",))
    def mail(to: str, *, session: Any = None, **rest: Any) -> str:
        return "sent"

    assert one.governor.run(call(to="x", session="admin")).effect is Effect.DENY
    with pytest.raises(RegistrationError, match="injected"):
        one.governor.run(call(to="x"), injected={"to": "y"})
