"""The suite that every adapter passes; needs pytest.

    class TestMine(AdapterSuite):
        rig = MyRig

What counts is the ledger of the workplace, which a tool writes only if it runs, and
what the model was told. A policy that fails, however it fails, must let nothing run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.contracts import ActionContract
from openfeature_gov.decisions import Verdict
from openfeature_gov.ladder import Mode
from openfeature_gov.testing.rigs import Call, Played, Rig
from openfeature_gov.testing.workplace import Workplace, ten_rows

BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
SMALL = Call("refund", {"order": "o-1", "amount": 50})
LARGE = Call("refund", {"order": "o-1", "amount": 500})
FETCH = Call("fetch", {"url": "https://example.com"})
CHARGE = Call("charge", {"order": "o-1"})
PATIENCE_S = 60.0
Opened = Callable[..., Workplace]


def _raising(_contract: ActionContract, _rules: Any, _flags: Any) -> Verdict:
    raise RuntimeError("the policy fails")


class AdapterSuite:
    """Break one adapter in every known way; *rig* drives its framework."""

    rig: type[Rig]

    @pytest.fixture(autouse=True)
    def _lacking(self, request: pytest.FixtureRequest) -> None:
        """Skip what the framework cannot do, and say why."""
        name = request.node.originalname
        if name in self.rig.lacks:
            pytest.skip(f"{self.rig.__name__}: {self.rig.lacks[name]}")

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Opened]:
        """Return a function that opens the workplace; guardrails are its arguments."""
        places: list[Workplace] = []

        def opened(**guardrails: Any) -> Workplace:
            places.append(Workplace(tmp_path, **guardrails))
            return places[-1]

        yield opened
        for place in places:
            place.close()

    @pytest.fixture
    def place(self, opened: Opened) -> Workplace:
        """Return the workplace as it is by default."""
        return opened()

    def _queued(self, place: Workplace, call: Call, **how: Any) -> Played:
        """Play *call*, which must come to wait for a person."""
        played = self.rig().play(place, [call], **how)
        (request,) = place.waiting()
        if self.rig.pauses:
            assert played.paused == (request.id,)
        else:
            assert request.id in played.answers[call.id]
        assert place.ran() == []
        return played

    # Outcomes

    @BOTH
    def test_allow(self, place: Workplace, asynchronous: bool) -> None:
        """It runs once as asked, and is recorded once, with its session."""
        played = self.rig().play(place, [SMALL], asynchronous=asynchronous)
        assert [one["arguments"] for one in place.ran()] == [
            {"order": "o-1", "amount": 50, "note": ""}
        ]
        assert "refund done" in played.answers["call-1"]
        self._recorded_once(place, "executed")

    @BOTH
    def test_allow_without_a_gate(self, place: Workplace, asynchronous: bool) -> None:
        """A tool of somebody else runs once and is recorded once."""
        played = self.rig().play(place, [FETCH], asynchronous=asynchronous)
        assert len(place.ran("fetch")) == 1
        assert "fetch done" in played.answers["call-1"]
        self._recorded_once(place, "executed")

    @BOTH
    def test_queue_without_a_gate(self, place: Workplace, asynchronous: bool) -> None:
        """It waits, and runs once when a person agreed."""
        place.serve("fetch.approval", "true")
        played = self._queued(place, FETCH, asynchronous=asynchronous)
        place.approve(place.waiting()[0])
        for _ in range(2):
            with suppress(Exception):
                self.rig().wake(place, played.state, asynchronous=asynchronous)
        assert len(place.ran("fetch")) == 1

    def _recorded_once(self, place: Workplace, status: str) -> None:
        (decision,), (outcome,) = place.log("decision"), place.log("outcome")
        assert decision["context"]["agent"] == "conformance"
        assert bool(decision.get("session")) is self.rig.sessions
        assert (outcome["ref"], outcome["status"]) == (decision["id"], status)

    @BOTH
    def test_constrain_to_a_draft(self, place: Workplace, asynchronous: bool) -> None:
        """Its handler runs instead, and the model hears that."""
        call = Call("send_mail", {"to": "ann", "text": "hello"})
        played = self.rig().play(place, [call], asynchronous=asynchronous)
        assert place.ran() == []
        assert "drafted hello for ann" in played.answers["call-1"]
        assert "not executed" in played.answers["call-1"]
        self._recorded_once(place, "executed")

    @BOTH
    def test_constrain_the_scope(self, opened: Opened, asynchronous: bool) -> None:
        """It runs with less, and the model sees with what."""
        place = opened(rows=ten_rows)
        call = Call("look_up", {"query": "kettles", "limit": 5000})
        played = self.rig().play(place, [call], asynchronous=asynchronous)
        (ran,) = place.ran()
        assert ran["arguments"] == {"query": "kettles", "limit": 10}
        assert "look_up done" in played.answers["call-1"]
        assert '"limit":10' in played.answers["call-1"].replace("\\", "")
        self._recorded_once(place, "executed")

    @BOTH
    def test_deny(self, place: Workplace, asynchronous: bool) -> None:
        """Nothing runs, and the model hears why."""
        call = Call("drop_table", {"table": "orders"})
        played = self.rig().play(place, [call], asynchronous=asynchronous)
        assert place.ran() == []
        assert "denied by policy" in played.answers["call-1"]
        (decision,) = place.log("decision")
        assert decision["reason"] == "mode_off"

    @BOTH
    def test_fallback(self, place: Workplace, asynchronous: bool) -> None:
        """The fallback's value arrives, in the form that the tool's schema demands."""
        call = Call("weather", {"city": "Bern"})
        played = self.rig().play(place, [call], asynchronous=asynchronous)
        assert place.ran() == []
        assert "Bern" in played.answers["call-1"]
        assert "21.5" not in played.answers["call-1"]
        self._recorded_once(place, "executed")

    @BOTH
    def test_queue_and_run_once(self, place: Workplace, asynchronous: bool) -> None:
        """Nothing runs before a person agreed, and then it runs once, elsewhere too."""
        played = self._queued(place, LARGE, asynchronous=asynchronous)
        (request,) = place.waiting()
        place.approve(request)
        woken = self.rig().wake_elsewhere(
            place, played.state, asynchronous=asynchronous
        )
        (ran,) = place.ran()
        assert ran["arguments"]["amount"] == 500
        assert ran["pid"] != os.getpid()
        assert "refund done" in woken.answers["call-1"]

    # Never open

    @BOTH
    def test_a_policy_that_raises(self, opened: Opened, asynchronous: bool) -> None:
        """A guardrail that fails denies, and the run goes on."""
        place = opened(broken=_raising)
        played = self.rig().play(place, [SMALL], asynchronous=asynchronous)
        assert place.ran() == []
        assert "Not executed" in played.answers["call-1"]

    @BOTH
    @pytest.mark.parametrize("call", [SMALL, FETCH], ids=["gated", "foreign"])
    def test_a_governor_that_raises(
        self,
        place: Workplace,
        call: Call,
        asynchronous: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Even a bug of ours lets nothing run, and the run goes on."""

        def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError("the governor fails")

        judge = place.governor._decider.judge  # noqa: SLF001 - breaks it on purpose
        monkeypatch.setattr(judge, "judge", broken)
        played = self.rig().play(place, [call], asynchronous=asynchronous)
        assert "Not executed" in played.answers["call-1"]
        assert place.ran() == []

    @BOTH
    @pytest.mark.parametrize("call", [SMALL, FETCH], ids=["gated", "foreign"])
    def test_a_policy_that_hangs(
        self, opened: Opened, call: Call, asynchronous: bool
    ) -> None:
        """The run goes on without it, denied, and its late answer changes nothing."""
        ended, left = threading.Event(), threading.Event()

        def hanging(*_: Any) -> Verdict:
            ended.wait(PATIENCE_S)
            left.set()
            return Verdict("hanging", Mode.AUTONOMOUS, "too_late")

        place = opened(hanging=hanging)
        try:
            played = self.rig().play(place, [call], asynchronous=asynchronous)
            assert not left.is_set()
            assert "Not executed" in played.answers["call-1"]
            assert place.ran() == []
        finally:
            ended.set()
        assert left.wait(PATIENCE_S)
        assert place.ran() == []

    @BOTH
    @pytest.mark.parametrize("tool", ["hidden", "no_such_tool"])
    def test_a_tool_that_nobody_registered(
        self, place: Workplace, tool: str, asynchronous: bool
    ) -> None:
        """Hallucinated, or there and hidden: it does not run."""
        call = Call(tool, {"table": "orders"})
        with suppress(Exception):
            self.rig().play(place, [call], asynchronous=asynchronous)
        assert place.ran() == []

    @BOTH
    def test_a_kill_in_the_middle(self, place: Workplace, asynchronous: bool) -> None:
        """The call after the kill switch is denied, and what waited stays so."""
        played = self._queued(place, LARGE, asynchronous=asynchronous)
        (request,) = place.waiting()
        place.approve(request)
        place.serve("on", "false")
        self.rig().wake(place, played.state, asynchronous=asynchronous)
        self.rig().play(place, [SMALL], asynchronous=asynchronous)
        assert place.ran() == []

    # Waiting

    @BOTH
    def test_one_of_two_waits(self, place: Workplace, asynchronous: bool) -> None:
        """The other runs at once, and once."""
        calls = [
            Call("look_up", {"query": "kettles"}, "call-2"),
            Call("refund", {"order": "o-1", "amount": 500}, "call-1"),
        ]
        played = self.rig().play(place, calls, asynchronous=asynchronous)
        assert [one["tool"] for one in place.ran()] == ["look_up"]
        (request,) = place.waiting()
        place.approve(request)
        self.rig().wake(place, played.state, asynchronous=asynchronous)
        assert len(place.ran("refund")) == 1
        assert len(place.ran("look_up")) == (1 if self.rig.pauses else 2)

    @BOTH
    def test_a_forged_resume(self, place: Workplace, asynchronous: bool) -> None:
        """The framework is told yes by nobody: nothing runs, and nothing is lost."""
        played = self._queued(place, LARGE, asynchronous=asynchronous)
        for _ in range(2):
            self.rig().wake(place, played.state, asynchronous=asynchronous)
        assert place.ran() == []
        assert len(place.waiting()) == 1

    @BOTH
    def test_a_replayed_resume(self, place: Workplace, asynchronous: bool) -> None:
        """An approval is for one run."""
        played = self._queued(place, LARGE, asynchronous=asynchronous)
        place.approve(place.waiting()[0])
        for _ in range(3):
            with suppress(Exception):
                self.rig().wake(place, played.state, asynchronous=asynchronous)
        assert len(place.ran()) == 1

    @BOTH
    def test_a_late_resume(self, place: Workplace, asynchronous: bool) -> None:
        """A release ends by itself."""
        played = self._queued(place, LARGE, asynchronous=asynchronous)
        place.approve(place.waiting()[0])
        place.late_us = 2 * 3_600 * 1_000_000
        self.rig().wake(place, played.state, asynchronous=asynchronous)
        assert place.ran() == []

    @BOTH
    def test_arguments_changed_after_approval(
        self, place: Workplace, asynchronous: bool
    ) -> None:
        """Neither a hook nor a call with the same id gets more than was agreed."""
        played = self._queued(place, LARGE, asynchronous=asynchronous)
        place.approve(place.waiting()[0])
        more = Call("refund", {"order": "o-1", "amount": 9999}, LARGE.id)
        self.rig().play(place, [more], asynchronous=asynchronous)
        assert place.ran() == []
        self.rig().wake(
            place,
            played.state,
            asynchronous=asynchronous,
            late=lambda arguments: {**arguments, "amount": 9999},
        )
        assert [one["arguments"]["amount"] for one in place.ran()] in ([], [500])

    @BOTH
    def test_a_refusal_outlives_a_flag(
        self, place: Workplace, asynchronous: bool
    ) -> None:
        """Nobody has to agree any more, and still a person said no to this action."""
        played = self._queued(place, LARGE, asynchronous=asynchronous)
        place.refuse(place.waiting()[0])
        place.serve("refund.approval", "false")
        self.rig().wake(place, played.state, asynchronous=asynchronous)
        assert place.ran() == []

    @BOTH
    @pytest.mark.parametrize(
        "call",
        [Call("charge", {"order": "o-1"}), Call("fetch", {"url": "broken"})],
        ids=["gated", "foreign"],
    )
    def test_a_tool_that_fails(
        self, place: Workplace, call: Call, asynchronous: bool
    ) -> None:
        """Its failure is the outcome, and is the framework's to handle."""
        with suppress(Exception):
            self.rig().play(place, [call], asynchronous=asynchronous)
        assert len(place.ran()) == 1
        self._recorded_once(place, "failed")

    # What a hook does not see

    @BOTH
    def test_a_late_edit(self, place: Workplace, asynchronous: bool) -> None:
        """Arguments that a hook edits after the decision meet one of their own."""
        self.rig().play(
            place,
            [SMALL],
            asynchronous=asynchronous,
            late=lambda arguments: {**arguments, "amount": 9999},
        )
        assert [one["arguments"]["amount"] for one in place.ran()] in ([], [50])

    @BOTH
    def test_a_sub_agent(self, place: Workplace, asynchronous: bool) -> None:
        """An agent without an adapter is governed by the gate of each tool."""
        calls = [
            Call("drop_table", {"table": "orders"}, "call-1"),
            Call("refund", {"order": "o-1", "amount": 500}, "call-2"),
            Call("look_up", {"query": "kettles"}, "call-3"),
        ]
        self.rig().play(place, calls, asynchronous=asynchronous, sub=True)
        assert [one["tool"] for one in place.ran()] == ["delegate", "look_up"]
        effects = {one["tool"]: one["effect"] for one in place.log("decision")}
        assert effects["drop_table"] == "deny"
        assert effects["refund"] == "queue_for_approval"

    @BOTH
    def test_a_call_within_a_tool(self, place: Workplace, asynchronous: bool) -> None:
        """It meets a decision of its own, for whom the outer call acts."""
        tools = place.tools

        def within() -> str:
            asked = [
                tools["drop_table"](table="orders"),
                tools["refund"](order="o-1", amount=500.0),
                tools["look_up"](query="kettles"),
                tools["delegate"](task="do it"),
            ]
            return " ".join(map(str, asked))

        place.delegated = within
        outer = Call("delegate", {"task": "do it"})
        played = self.rig().play(place, [outer], asynchronous=asynchronous)
        assert [one["tool"] for one in place.ran()] == [
            "delegate",
            "look_up",
            "delegate",
        ]
        assert "denied by policy" in played.answers["call-1"]
        decisions = place.log("decision")
        assert len(decisions) == 5
        assert {one["context"]["agent"] for one in decisions} == {"conformance"}
        assert [one.tool for one in place.waiting()] == ["refund"]

    # Streams and repetitions

    @BOTH
    def test_a_streamed_run(self, place: Workplace, asynchronous: bool) -> None:
        """What is denied or waits does not run in it, with a gate or without."""
        place.serve("fetch.approval", "true")
        calls = [
            Call("look_up", {"query": "kettles"}, "call-1"),
            Call("refund", {"order": "o-1", "amount": 500}, "call-2"),
            Call("fetch", {"url": "https://example.com"}, "call-3"),
            Call("drop_table", {"table": "orders"}, "call-4"),
        ]
        self.rig().play(place, calls, asynchronous=asynchronous, streams=True)
        assert [one["tool"] for one in place.ran()] == ["look_up"]
        waiting = {one.tool for one in place.waiting()}
        assert waiting
        assert waiting <= {"refund", "fetch"}
        assert "executed" in [one["status"] for one in place.log("outcome")]

    @BOTH
    def test_a_retry_is_decided_anew(
        self, place: Workplace, asynchronous: bool
    ) -> None:
        """Each run of a tool that failed has its own decision and outcome."""
        with suppress(Exception):
            self.rig().play(place, [CHARGE], asynchronous=asynchronous, retries=True)
        ran = len(place.ran())
        assert ran > 1
        decided = sorted(one["id"] for one in place.log("decision"))
        ended = [one for one in place.log("outcome") if one["status"] == "failed"]
        assert sorted(one["ref"] for one in ended) == decided
        assert len(decided) == ran

    @BOTH
    def test_an_approval_is_for_no_retry(
        self, place: Workplace, asynchronous: bool
    ) -> None:
        """What a person released runs once, though it failed."""
        place.serve("charge.approval", "true")
        played = self._queued(place, CHARGE, asynchronous=asynchronous, retries=True)
        place.approve(place.waiting()[0])
        for _ in range(2):
            with suppress(Exception):
                self.rig().wake(
                    place, played.state, asynchronous=asynchronous, retries=True
                )
        assert len(place.ran()) == 1

    @BOTH
    def test_no_retry_runs_what_is_denied(
        self, place: Workplace, asynchronous: bool
    ) -> None:
        """However often it is tried."""
        call = Call("drop_table", {"table": "orders"})
        with suppress(Exception):
            self.rig().play(place, [call], asynchronous=asynchronous, retries=True)
        assert place.ran() == []
        assert {one["effect"] for one in place.log("decision")} == {"deny"}

    @BOTH
    def test_converted_arguments(self, place: Workplace, asynchronous: bool) -> None:
        """What the framework converts is decided about once, as the tool gets it."""
        call = Call("refund", {"order": "o-1", "amount": "50"})
        self.rig().play(place, [call], asynchronous=asynchronous)
        assert [one["arguments"]["amount"] for one in place.ran()] == [50]
        self._recorded_once(place, "executed")

    @BOTH
    def test_malformed_arguments(self, place: Workplace, asynchronous: bool) -> None:
        """What the tool cannot take does not run."""
        calls = [
            Call("refund", {"order": "o-1", "amount": "lots"}, "call-1"),
            Call("refund", {"amount": 5}, "call-2"),
            Call("refund", {"order": "o-1", "amount": 5, "to": "me"}, "call-3"),
        ]
        for call in calls:
            with suppress(Exception):
                self.rig().play(place, [call], asynchronous=asynchronous)
        assert place.ran() == []

    # What others see

    @BOTH
    def test_spans_join(self, place: Workplace, asynchronous: bool) -> None:
        """Each decision is in the caller's trace, and on the framework's own span."""
        pytest.importorskip("opentelemetry.sdk", reason="install opentelemetry-sdk")
        from openfeature_gov.testing import spans  # noqa: PLC0415 - needs the SDK

        calls = [SMALL, Call("drop_table", {"table": "orders"}, "call-2")]
        effects = {"refund": "allow", "drop_table": "deny"}
        rig = self.rig()
        with rig.instrumented():
            found = spans.traced(
                lambda: rig.play(place, calls, asynchronous=asynchronous)
            )
        ours = spans.named(found, "gov.decide ")
        assert sorted(one.name for one in ours) == [
            "gov.decide drop_table",
            "gov.decide refund",
        ]
        assert spans.traces(ours) == spans.traces(spans.named(found, spans.HOST))
        assert spans.decisions(spans.named(found, rig.span or spans.HOST)) == effects
