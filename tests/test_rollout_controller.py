"""The controller: moves on the flag, recorded; the same on the file and on FeatBit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openfeature.contrib.provider.featbit.authoring import segment, turn_off, turn_on
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.snapshot import Snapshot
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.contracts import digest_of
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.ladder import Mode
from openfeature_gov.stores.history import records
from openfeature_gov.targets import ConflictError, RefusedError, Signed, Switch, changes
from openfeature_gov.targets.featbit import FeatBitTarget
from openfeature_gov_rollout.audience import everybody
from openfeature_gov_rollout.controller import BlockedError
from openfeature_gov_rollout.gates import Count
from openfeature_gov_rollout.moving import rise
from openfeature_gov_rollout.placing import move
from openfeature_gov_rollout.recording import Move
from openfeature_gov_rollout.states import Why
from openfeature_gov_rollout.stories import Result, Verb, stories
from tests.rollouts import (
    BAD,
    DAY_US,
    MODE,
    PLAN,
    STAGES,
    Bench,
    bench,
    on_featbit,
    on_file,
    plan,
)

LOW = "mode: search_only"

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(params=["file", "featbit"])
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Lend a controller on each target in turn."""
    if request.param == "file":
        yield bench(on_file(tmp_path), tmp_path)
        return
    with on_featbit() as (target, _):
        yield bench(target, tmp_path)


@pytest.fixture
def filed(tmp_path: Path) -> Bench:
    """Return a controller on a flag file."""
    return bench(on_file(tmp_path), tmp_path)


def advance(one: Bench, **more: Any) -> Any:
    """Advance as the owner."""
    said = {"actor": "ann", "reason": "proven", **more}
    return one.controller.advance("refunds", **said)


def fall(one: Bench, verb: Verb = Verb.ROLLBACK) -> Any:
    """Roll back as somebody."""
    return one.controller.fall("refunds", verb, actor="bob", reason="complaints")


def switch(one: Bench, key: str, *, on: bool) -> None:
    """Turn flag *key* on or off, as anybody could."""

    def edit(held: Any, _: Snapshot, at: str) -> Any:
        return (turn_on if on else turn_off)(held, key, at=at)

    said = Signed(actor="sre", reason="incident", records=one.records)
    turned = Switch("set", edit, lambda _: (), {}, widens=False)
    changes.made(one.target, turned, said, keys=(key,))


def told(one: Bench) -> Any:
    """Return the story of the plan."""
    (look,) = one.controller.look()
    return look.situation.story


def blocked(one: Bench, **more: Any) -> set[Why]:
    """Return what keeps the owner from advancing."""
    with pytest.raises(BlockedError) as refused:
        advance(one, **more)
    return {each.why for each in refused.value.blocks}


def test_every_stage_is_entered_in_its_order_and_recorded(one: Bench) -> None:
    """Each with person, reason, evidence digest and the flag before and after."""
    for name in STAGES:
        one.clock.pass_(2 * 3_600_000_000)
        assert advance(one).place.stage == name
    events = told(one).events
    assert [each.end for each in events] == list(STAGES)
    for each in events:
        facts = each.facts
        assert (each.actor, each.reason, each.result) == ("ann", "proven", "applied")
        assert facts["evidenceDigest"] == digest_of(facts["evidence"])
        assert facts["planDigest"] == facts["evidence"]["planDigest"]
        assert facts["flagBefore"] != each.told["flagAfter"]
        assert one.target.facts.items() <= facts.items()
    befores = [each.facts["flagBefore"] for each in events]
    afters = [each.told["flagAfter"] for each in events]
    assert befores[1:] == afters[:-1]
    assert blocked(one) == {Why.LAST}


def test_the_evidence_of_a_record_says_what_each_gate_said(filed: Bench) -> None:
    """Sentence, value, bound, target and samples stand in the record itself."""
    filed.up("search")
    evidence = told(filed).events[-1].facts["evidence"]
    (gate,) = evidence["gates"]
    assert gate["answer"] == "pass"
    assert gate["sentence"].startswith("agreement: 100 % of 200 samples")
    assert (gate["value"], gate["target"]) == ("1.000000", "0.9")


def test_an_audit_comment_is_short_and_holds_the_evidence_digest(
    tmp_path: Path,
) -> None:
    """However long the reason, FeatBit keeps the digest within 512 characters."""
    with on_featbit() as (target, _):
        one = bench(target, tmp_path)
        advance(one, reason="because " * 60)
        fall(one)
        assert isinstance(target, FeatBitTarget)
        logs = target.client.audit_logs(target.env_id, start_ms=0, end_ms=2**42)
        comments = [each.comment for each in logs if each.key == MODE and each.comment]
    digests = [each.facts["evidenceDigest"] for each in told_of(one.records)]
    assert len(comments) == len(digests) == 2
    for comment, digest in zip(reversed(comments), digests, strict=True):
        assert len(comment) <= 512
        assert digest in comment


def told_of(path: Path) -> list[Any]:
    """Return the transitions in a record file."""
    return [*stories(records(path))["refunds"].events]


def test_a_rollback_is_one_write_that_locks(one: Bench) -> None:
    """To the safest mode, without evidence, until somebody acknowledges it."""
    one.up("eu-20")
    asked = len(one.evidence.asked)
    moved = fall(one)
    assert len(one.evidence.asked) == asked
    assert (moved.start, moved.place.stage) == ("eu-20", "rolled-back")
    assert blocked(one) == {Why.LOCKED}
    assert blocked(one, override=True) == {Why.LOCKED}
    one.controller.resume("refunds", actor="ann", reason="mended")
    assert advance(one).place.stage == "search"


def test_a_rollback_needs_no_record_store(filed: Bench) -> None:
    """It takes effect, says that it is not recorded, and the next check records it."""
    filed.up("read")
    filed.records.rename(filed.records.with_suffix(".kept"))
    filed.records.mkdir()
    moved = fall(filed)
    assert (moved.place.stage, moved.unrecorded != "") == ("rolled-back", True)
    with pytest.raises(RecordStoreError):
        filed.controller.resume("refunds", actor="ann", reason="seen")
    filed.records.rmdir()
    filed.records.with_suffix(".kept").rename(filed.records)
    filed.controller.check()
    last = told(filed).events[-1]
    assert (last.verb, last.actor, last.id) == (
        Verb.ROLLBACK,
        "unknown",
        moved.transition,
    )
    assert blocked(filed) == {Why.LOCKED}


def test_an_advance_that_cannot_be_recorded_is_not_made(filed: Bench) -> None:
    """The flag stays as it was."""
    advance(filed)
    before = filed.target.read().snapshot.revision
    (look,) = filed.controller.look()
    broken = filed.records.with_name("folder")
    broken.mkdir()
    wanted = Move(verb=Verb.ADVANCE, actor="a", reason="r", evidence={}, end="search")
    with pytest.raises(RecordStoreError):
        rise(filed.target, broken, look, wanted)
    assert filed.target.read().snapshot.revision == before


def test_a_rollback_twice_changes_nothing(one: Bench) -> None:
    """The second finds it done, and leaves no second record."""
    one.up("read")
    fall(one)
    assert fall(one).transition == ""
    assert [each.verb for each in told(one).events].count(Verb.ROLLBACK) == 1


def test_nothing_is_rolled_back_that_was_never_begun(one: Bench) -> None:
    """A flag without our rules may serve less than the safest mode."""
    with pytest.raises(RefusedError, match="gov flags kill"):
        fall(one)


def test_who_was_faster_is_shown_and_nothing_is_forced(one: Bench) -> None:
    """Two owners advance from the same look: one wins, the other sees both sides."""
    one.up("read")
    (look,) = one.controller.look()
    wanted = Move(verb=Verb.ADVANCE, actor="x", reason="r", evidence={}, end="draft")
    rise(one.target, one.records, look, wanted)
    with pytest.raises(ConflictError) as conflict:
        rise(one.target, one.records, look, replace(wanted, actor="y"))
    (side,) = conflict.value.sides
    assert "when read: read" in side
    assert "theirs: draft" in side
    assert "yours: draft" in side
    assert one.stage() == "draft"
    assert [each.actor for each in told(one).events].count("x") == 1


def test_who_loses_between_record_and_write_is_recorded_so(one: Bench) -> None:
    """The intent is there, and that it was not applied."""
    one.up("observe")
    (look,) = one.controller.look()
    target: Any = Overtaken(one)
    wanted = Move(verb=Verb.ADVANCE, actor="y", reason="r", evidence={}, end="search")
    with pytest.raises(ConflictError):
        rise(target, one.records, look, wanted)
    assert one.stage() == "search"
    results = {each.actor: each.result for each in told(one).events}
    assert results["y"] is Result.NOT_APPLIED
    assert results["faster"] is Result.APPLIED


class Overtaken:
    """Be the target of a bench on which somebody else is faster, just once."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._reads = bench, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bench.target, name)

    def read(self, keys: Any = None) -> Any:
        self._reads += 1
        if self._reads == 2:  # planned and recorded; about to be written
            (look,) = self._bench.controller.look()
            wanted = Move(
                verb=Verb.ADVANCE, actor="faster", reason="r", evidence={}, end="search"
            )
            rise(unlocked(self._bench.target), self._bench.records, look, wanted)
        return self._bench.target.read(keys)


def unlocked(target: Any) -> Any:
    """Return *target* as one that takes no lock, as an editor does."""

    class Bare:
        def __getattr__(self, name: str) -> Any:
            return getattr(target, name)

        def locked(self) -> Any:
            return nullcontext()

    return Bare()


def test_another_flag_of_the_file_is_nobodys_conflict(filed: Bench) -> None:
    """Somebody turns another flag between look and write: the advance is made."""
    advance(filed)
    (look,) = filed.controller.look()
    switch(filed, "gov.incident", on=True)
    switch(filed, "gov.incident", on=False)
    wanted = Move(verb=Verb.ADVANCE, actor="a", reason="r", evidence={}, end="search")
    assert rise(filed.target, filed.records, look, wanted).place.stage == "search"


@pytest.mark.parametrize("key", [MODE, "gov.on", "gov.deny", "gov.incident"])
def test_a_kill_switch_in_the_middle_wins(one: Bench, key: str) -> None:
    """Nothing widens while it is off, and no move turns it on."""
    one.up("approval")
    switch(one, key, on=False)
    assert blocked(one) == {Why.KILLED}
    assert blocked(one, override=True) == {Why.KILLED}
    (taken,) = one.controller.tick()
    assert (taken.step.verb, one.stage()) == (None, "approval")
    one.evidence.counts = {**BAD}
    (taken,) = one.controller.tick()
    assert one.stage() == "rolled-back"
    assert not one.target.read().flags[key].enabled


def test_a_kill_between_look_and_write_wins(one: Bench) -> None:
    """The mode flag is off by then: a conflict, and it stays off."""
    one.up("observe")
    (look,) = one.controller.look()
    switch(one, MODE, on=False)
    wanted = Move(verb=Verb.ADVANCE, actor="a", reason="r", evidence={}, end="search")
    with pytest.raises(ConflictError):
        rise(one.target, one.records, look, wanted)
    assert not one.target.read().flags[MODE].enabled
    assert one.stage() == "observe"


def test_the_controller_rolls_back_within_one_interval(one: Bench) -> None:
    """One tick after the evidence turns, at any stage; then it is locked."""
    one.up("everybody")
    one.controller.tick()
    assert one.stage() == "everybody"
    one.evidence.recent = {**BAD}
    (taken,) = one.controller.tick()
    assert taken.step.verb is Verb.ROLLBACK
    assert one.stage() == "rolled-back"
    one.evidence.recent = None
    (taken,) = one.controller.tick()
    assert taken.moved is None
    assert blocked(one) == {Why.LOCKED}
    last = told(one).events[-1]
    assert last.actor == "rollout-controller"
    assert last.facts["evidence"]["recent"][0]["answer"] == "fail"


def test_after_downtime_one_step_and_no_sign_off_is_jumped(filed: Bench) -> None:
    """A controller that slept takes one stage, and stops where somebody signs."""
    filed.up("approval")
    filed.clock.pass_(3 * DAY_US)
    assert filed.controller.tick()[0].step.verb is Verb.ADVANCE
    assert filed.stage() == "eu-5"
    assert filed.controller.tick()[0].moved is None
    assert filed.stage() == "eu-5"


def test_a_demotion_is_one_stage_and_does_not_lock(one: Bench) -> None:
    """Refusals push it back; proof starts anew there."""
    one.up("eu-20")
    one.evidence.refused = "3 of the last 5 answers were refusals"
    one.controller.tick()
    assert one.stage() == "eu-5"
    one.evidence.refused = ""
    assert advance(one).place.stage == "eu-20"


def test_a_deadline_holds_once_and_a_person_resumes(filed: Bench) -> None:
    """The hold is a record; the next tick does not repeat it."""
    filed.up("eu-5")
    filed.clock.pass_(3 * DAY_US)
    assert filed.controller.tick()[0].noted
    assert filed.controller.tick()[0].noted == ""
    assert blocked(filed) == {Why.HELD}


def test_a_hand_edit_is_shown_and_can_be_left_by_a_rollback(one: Bench) -> None:
    """Altered rules block; a rollback brings the plan's own order back."""
    one.up("read")

    def edit(held: Any, snapshot: Snapshot, at: str) -> Any:
        made = move(
            one.controller.plans[0],
            "draft",
            one.controller.plans[0].layers["search"],
            "mine",
        )
        return made(held, snapshot, at)

    said = Signed(actor="eve", reason="quick fix", records=one.records)
    changes.made(
        one.target, Switch("set", edit, lambda _: (), {}, widens=False), said, (MODE,)
    )
    assert Why.ALTERED in blocked(one, override=True)
    fall(one)
    assert one.stage() == "rolled-back"


def test_an_abort_stays_until_the_plan_changes(one: Bench) -> None:
    """Acknowledged or not, the same plan does not begin anew."""
    one.up("read")
    fall(one, Verb.ABORT)
    assert blocked(one) == {Why.LOCKED, Why.ABORTED}
    one.controller.resume("refunds", actor="ann", reason="seen")
    assert blocked(one, override=True) == {Why.ABORTED}


def test_a_missing_variation_is_refused(tmp_path: Path) -> None:
    """The flag could not serve the stage: said with what to do, nothing written."""
    target = on_file(tmp_path)
    document = target.read().document
    document["data"]["featureFlags"][0]["variations"] = [
        each
        for each in document["data"]["featureFlags"][0]["variations"]
        if each["value"] != "observe"
    ]
    write_document(tmp_path / "flags.json", document)
    with pytest.raises(RefusedError, match='no one variation "observe"'):
        advance(bench(target, tmp_path))


def test_an_unknown_plan_is_named(filed: Bench) -> None:
    """With those that there are."""
    with pytest.raises(RefusedError, match="there are: refunds"):
        filed.controller.look(["payments"])


def test_windows_reach_from_the_entry_and_over_the_latest_past(filed: Bench) -> None:
    """The second window is the plan's regression window, never before the entry."""
    filed.up("read")
    filed.clock.pass_(DAY_US)
    filed.evidence.asked.clear()
    filed.controller.look()
    whole, recent = filed.evidence.asked
    assert recent.from_us == recent.until_us - 3_600_000_000
    assert whole.from_us < recent.from_us
    assert whole.stage.name == "read"


SEGMENTED = PLAN.replace(
    "audience: [{where: {accountId: [acme, beta]}}]",
    "audience: [{segments: [staff]}]",
)


@pytest.mark.parametrize("where", ["file", "featbit"])
def test_a_stage_may_reach_a_segment(tmp_path: Path, where: str) -> None:
    """Its members get the stage, others what they had; no flag named it before."""
    staff = segment("staff", included=["user-1"])
    if where == "file":
        target = on_file(tmp_path)
        held = target.read().document
        held["data"]["segments"] = [staff]
        write_document(tmp_path / "flags.json", held)
        reaching(bench(target, tmp_path))
        return
    with on_featbit() as (target, server):
        server.put_segment(staff)
        reaching(bench(target, tmp_path))


def reaching(one: Bench) -> None:
    """Go to the stage, and ask for a member and another."""
    one.controller = replace(one.controller, plans=(plan(SEGMENTED),))
    one.up("accounts")
    call = {"workflow": "refunds", "toolName": "lookup", "region": "us"}
    served = one.target.read([MODE]).snapshot
    modes = {user: served.evaluate(MODE, user, call) for user in ("user-1", "user-2")}
    assert {user: found and found.value for user, found in modes.items()} == {
        "user-1": "autonomous",
        "user-2": "approval_required",
    }
    (look,) = one.controller.look()
    assert look.situation.place.altered == ""


def test_a_segment_that_is_not_there_is_refused(one: Bench) -> None:
    """Nothing is written; the message names it."""
    one.controller = replace(one.controller, plans=(plan(SEGMENTED),))
    one.up("eu-20")
    with pytest.raises(FeatBitDataError, match="staff"):
        advance(one)
    assert one.stage() == "eu-20"
    assert told(one).open == ()


def test_a_hand_on_the_flag_after_a_fall_is_seen_and_undone(one: Bench) -> None:
    """A rule of ours that serves more again: altered; another rollback writes anew."""
    one.up("read")
    first = fall(one).transition

    def edit(held: Any, snapshot: Snapshot, at: str) -> Any:
        layers = everybody(plan().everybody, Mode.AUTONOMOUS)
        made = move(plan(), "rolled-back", layers, first, origin="read")
        return made(held, snapshot, at)

    said = Signed(actor="eve", reason="quick fix", records=one.records)
    changes.made(
        one.target, Switch("set", edit, lambda _: (), {}, widens=False), said, (MODE,)
    )
    (look,) = one.controller.look()
    assert "more than search_only" in look.situation.place.altered
    again = fall(one)
    assert again.transition not in ("", first)
    assert again.place.altered == ""
    call = {"workflow": "refunds", "toolName": "refund"}
    served = one.target.read([MODE]).snapshot.evaluate(MODE, "user-1", call)
    assert served is not None
    assert served.value == "off"


def put(one: Bench, document: Any) -> None:
    """Let the flag file be *document*, as whoever restores a backup would."""
    path = Path(one.target.name)
    write_document(path, document)


def test_a_fall_cannot_be_undone_by_putting_the_flag_back(filed: Bench) -> None:
    """A backup from before the fall blocks, and the controller lets it fall anew."""
    filed.up("eu-20")
    before = filed.target.read().document
    fall(filed)
    put(filed, before)
    assert {Why.LOCKED, Why.ALTERED} <= blocked(filed, override=True)
    (taken,) = filed.controller.tick()
    assert taken.moved is not None
    assert (taken.moved.verb, filed.stage()) == (Verb.ROLLBACK, "rolled-back")
    assert blocked(filed) == {Why.LOCKED}


def test_a_flag_from_before_a_fall_says_nothing_once_acknowledged(filed: Bench) -> None:
    """What was proven before the fall counts no more; only a rollback leaves."""
    filed.up("eu-20")
    before = filed.target.read().document
    fall(filed)
    filed.controller.resume("refunds", actor="ann", reason="mended")
    put(filed, before)
    assert blocked(filed, override=True) == {Why.ALTERED}
    fall(filed)
    assert filed.stage() == "rolled-back"


def test_a_fall_cannot_be_undone_by_removing_its_rules(filed: Bench) -> None:
    """A flag without rules is no rollout that may begin: the fall comes back."""
    filed.up("eu-20")
    fall(filed, Verb.ABORT)
    document = filed.target.read().document
    document["data"]["featureFlags"][0]["rules"] = []
    put(filed, document)
    assert blocked(filed, override=True) == {Why.LOCKED}
    (taken,) = filed.controller.tick()
    assert (taken.error, filed.stage()) == ("", "aborted")


def test_a_rollback_gives_nobody_more_than_a_hand_left(filed: Bench) -> None:
    """Whom somebody turned off by a rule of their own stays off."""
    head = PLAN.replace("  stages:", "  elsewhere: search_only\n  stages:")
    text = head.split("    - name: observe")[0] + (
        "    - {name: read, mode: scoped_read, gates: [{metric: agreement, "
        "atLeast: 0.9}]}\n"
    )
    filed.controller = replace(filed.controller, plans=(plan(text),))
    filed.up("read")
    document = filed.target.read().document
    flag = document["data"]["featureFlags"][0]
    (off,) = [each["id"] for each in flag["variations"] if each["value"] == "off"]
    stop = {**flag["rules"][-1], "id": "stop", "name": "stop"}
    stop["variations"] = [{"id": off, "rollout": [0, 1], "exptRollout": 1}]
    flag["rules"].insert(0, stop)
    put(filed, document)
    fall(filed)
    call = {"workflow": "refunds", "toolName": "refund"}
    served = filed.target.read([MODE]).snapshot.evaluate(MODE, "user-1", call)
    assert served is not None
    assert served.value == "off"


def test_nothing_is_done_without_a_name_and_a_reason(filed: Bench) -> None:
    """A record that names nobody explains nothing."""
    filed.up("approval")
    for said in ({"actor": ""}, {"reason": " "}):
        with pytest.raises(RefusedError, match="who and why"):
            advance(filed, **said)
    with pytest.raises(RefusedError, match="who and why"):
        filed.controller.hold("refunds", actor="", reason="r")
    with pytest.raises(RefusedError, match="who and why"):
        filed.controller.resume("refunds", actor="ann", reason="")


def test_who_enters_a_stage_anew_is_judged_more_strictly(filed: Bench) -> None:
    """No luck by falling and trying again: each entry has half the error level."""
    filed.up("search")
    filed.evidence.counts = {"agreement": Count(29, 29)}
    (first,) = filed.controller.look()
    fall(filed)
    filed.controller.resume("refunds", actor="ann", reason="again")
    advance(filed, override=True)
    (second,) = filed.controller.look()
    assert first.situation.judged is not None
    assert second.situation.judged is not None
    (before,), (after,) = (
        first.situation.judged.results,
        second.situation.judged.results,
    )
    assert before.bound is not None
    assert after.bound is not None
    assert after.bound < before.bound
    filed.evidence.counts = {**BAD}
    (third,) = filed.controller.look()
    (again,) = third.situation.judged.results if third.situation.judged else ()
    assert again.answer == "fail"


def test_a_hold_while_an_advance_is_decided_wins(one: Bench) -> None:
    """Counting takes a while: whoever was told "held" is not passed by."""
    one.up("search")
    (look,) = one.controller.look()
    one.controller.hold("refunds", actor="bob", reason="wait")
    wanted = Move(verb=Verb.ADVANCE, actor="ann", reason="r", evidence={}, end="read")
    with pytest.raises(RefusedError, match="held meanwhile by bob: wait"):
        rise(one.target, one.records, look, wanted)
    assert one.stage() == "search"
    assert told(one).events[-1].result is Result.NOT_APPLIED


def test_a_rung_that_the_plan_skips_is_recorded_with_its_reason(filed: Bench) -> None:
    """Who reads the records alone learns who let it be skipped, and why."""
    skip = "mode: draft_write\n      override: {reason: read is trivial, by: eve}"
    text = PLAN.replace("mode: draft_write", skip).replace("mode: scoped_read", LOW)
    filed.controller = replace(filed.controller, plans=(plan(text),))
    filed.up("draft")
    skipped = [each.facts["skipped"] for each in told(filed).events]
    assert skipped[:-1] == [None, None, None]
    assert skipped[-1] == {"reason": "read is trivial", "by": "eve"}


def test_a_demotion_spares_nobody_who_is_named_one_by_one(filed: Bench) -> None:
    """Whoever had more than the stage below by name has it no longer."""
    filed.up("eu-5")
    document = filed.target.read().document
    flag = document["data"]["featureFlags"][0]
    (top,) = [e["id"] for e in flag["variations"] if e["value"] == "autonomous"]
    flag["targetUsers"] = [{"variationId": top, "keyIds": ["vip"]}]
    put(filed, document)
    filed.evidence.refused = "reviewers refused 3 of the last 5 actions"
    filed.controller.tick()
    assert filed.stage() == "approval"
    call = {"workflow": "refunds", "toolName": "refund"}
    served = filed.target.read([MODE]).snapshot.evaluate(MODE, "vip", call)
    assert served is not None
    assert served.value == "approval_required"
