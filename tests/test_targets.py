"""`FlagTarget`: one suite for every target of flags, and what only one of them does."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    condition,
    document,
    json_flag,
    rule,
    serve,
    string_flag,
    turn_off,
    turn_on,
)
from openfeature.contrib.provider.featbit.errors import FeatBitEditError
from openfeature.contrib.provider.featbit.management import (
    ManagementClient,
    OutcomeUnknownError,
)
from openfeature.contrib.provider.featbit.snapshot import Snapshot
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.stores.history import records
from openfeature_gov.targets import (
    ConflictError,
    Edit,
    FlagTarget,
    NotWrittenError,
    RefusedError,
    Signed,
    Switch,
    UnreachableError,
    changes,
    plan,
)
from openfeature_gov.targets.featbit import FeatBitTarget
from openfeature_gov.targets.file import FileTarget
from openfeature_gov.targets.states import state
from openfeature_gov.testing.featbit import SimulatedFeatBit
from openfeature_gov.testing.featbit.tokens import EVERYTHING

AT = "2026-11-21T12:00:00.000Z"
MODES = ["off", "observe", "search_only", "autonomous"]


def flags() -> Json:
    """Return three flags: a mode, a switch, a denylist."""
    return document(
        [
            string_flag("a.mode", MODES, serve="observe", off="off"),
            boolean_flag("a.global", serve=True, off=False),
            json_flag("a.deny", {"now": [], "all": ["*"]}, serve="now", off="all"),
        ]
    )


class Place:
    """One target for one test, and another hand that changes it unasked."""

    def __init__(
        self, target: FlagTarget, folder: Path, meddle: Callable[[str, Edit], None]
    ) -> None:
        self.target = target
        self.records = folder / "records.db"
        self.signed = Signed(actor="ann", reason="because", records=self.records)
        self.meddle = meddle

    def state(self, key: str) -> dict[str, Any]:
        """Return the state of flag *key* now."""
        return state(self.target.read().flags[key])

    def make(self, edit: Edit, *, widens: bool = True) -> changes.Done:
        """Make a change."""
        switch = Switch("set", edit, lambda _: (), {"by": "test"}, widens=widens)
        return changes.made(self.target, switch, self.signed)

    def log(self) -> list[dict[str, Any]]:
        """Return the recorded policy changes."""
        if not self.records.exists():
            return []
        return records(self.records, kind="policy_change")


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    """Return a FeatBit that holds the flags."""
    with SimulatedFeatBit(flags()) as running:
        yield running


def featbit(server: SimulatedFeatBit, token: str = "") -> FeatBitTarget:
    """Return the target on *server*."""
    client = ManagementClient(server.api_url, token or server.access_token)
    return FeatBitTarget(client, server.project_key, server.env_key)


@pytest.fixture(params=["file", "featbit"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return each target in turn."""
    if request.param == "file":
        path = tmp_path / "flags.json"
        write_document(path, flags())

        def rewrite(_: str, edit: Edit) -> None:
            held = FileTarget(path).read()
            write_document(path, edit(held.document, held.snapshot, AT))

        return Place(FileTarget(path), tmp_path, rewrite)
    running: SimulatedFeatBit = request.getfixturevalue("server")
    target = featbit(running)

    def put(key: str, edit: Edit) -> None:
        held = target.read()
        after = edit(held.document, held.snapshot, AT)["data"]["featureFlags"]
        running.put_flag(next(one for one in after if one["key"] == key))

    return Place(target, tmp_path, put)


def released(key: str, variant: str) -> Edit:
    """Return the edit that serves *variant*."""
    return lambda held, _, at: serve(held, key, variant, at=at)


def killed(*keys: str) -> Edit:
    """Return the edit that turns *keys* off."""

    def edit(held: Json, _: Snapshot, at: str) -> Json:
        for key in keys:
            held = turn_off(held, key, at=at)
        return held

    return edit


def test_a_reading_holds_every_flag_parsed_and_raw(place: Place) -> None:
    """What people call the state, the JSON, and nothing unread."""
    held = place.target.read()
    assert sorted(held.flags) == sorted(held.raw) == ["a.deny", "a.global", "a.mode"]
    assert held.raw["a.mode"]["variationType"] == "string"
    assert state(held.flags["a.mode"])["serves"] == "observe"
    assert held.unread == {}
    assert held.source == place.target.name


def test_the_revision_changes_with_the_flags_only(place: Place) -> None:
    """Two readings agree; after a change they do not."""
    before = place.target.read().snapshot.revision
    assert place.target.read().snapshot.revision == before
    place.make(released("a.mode", "search_only"))
    assert place.target.read().snapshot.revision != before


def test_a_plan_writes_nothing(place: Place) -> None:
    """It tells what would differ, and the target is as it was."""
    before = place.target.read()
    planned = plan(place.target, released("a.mode", "search_only"), at=AT)
    (change,) = planned.changes
    assert (change.key, change.was, change.now) == (
        "a.mode",
        {"serves": "observe"},
        {"serves": "search_only"},
    )
    assert place.target.read().raw == before.raw


def test_a_change_is_made_recorded_and_told(place: Place) -> None:
    """Who, why, from what, to what; and a token that demands fresher data."""
    done = place.make(released("a.mode", "search_only"))
    assert done.applied
    assert place.state("a.mode")["serves"] == "search_only"
    (record,) = place.log()
    assert record["id"] == done.record
    assert (record["actor"], record["reason"]) == ("ann", "because")
    assert record["flags"] == [
        {
            "key": "a.mode",
            "from": {"serves": "observe"},
            "to": {"serves": "search_only"},
        }
    ]
    assert place.target.facts.items() <= record.items()
    version = place.target.read().flags["a.mode"].version
    assert done.tokens == {"a.mode": f"a.mode@{version}"}
    assert done.held.snapshot.revision == record["revisionAfter"]


def test_the_prediction_of_a_revision_comes_true(place: Place) -> None:
    """What a record says beforehand is what is there afterwards."""

    def edit(held: Json, _: Snapshot, at: str) -> Json:
        held = serve(held, "a.mode", "search_only", at=at)
        return turn_off(held, "a.global", at=at)

    planned = plan(place.target, edit, at=AT)
    with place.target.locked():
        written = place.target.write(planned, place.signed)
    assert written.held.snapshot.revision == planned.revision
    assert written.failed == {}


def test_what_is_so_already_changes_nothing(place: Place) -> None:
    """No write, no record, no record database."""
    before = place.target.read().raw
    done = place.make(released("a.mode", "observe"))
    assert (done.applied, done.record, done.tokens) == (False, None, {})
    assert place.target.read().raw == before
    assert not place.records.exists()


def test_a_change_of_several_flags_makes_them_all(place: Place) -> None:
    """Each is told with its own token."""
    done = place.make(killed("a.mode", "a.global", "a.deny"), widens=False)
    assert sorted(done.tokens) == ["a.deny", "a.global", "a.mode"]
    assert not any(flag.enabled for flag in place.target.read().flags.values())


def test_every_member_of_a_flag_can_be_changed(place: Place) -> None:
    """Values, off variation, targets, rules, split, description, tags, on and off."""

    def edit(held: Json, _: Snapshot, __: str) -> Json:
        held = json.loads(json.dumps(held))
        for flag in held["data"]["featureFlags"]:
            if flag["key"] == "a.mode":
                first, second = flag["variations"][:2]
                flag["variations"].append({"id": "n", "name": "n", "value": "fallback"})
                flag["disabledVariationId"] = second["id"]
                flag["targetUsers"] = [{"keyIds": ["u"], "variationId": "n"}]
                eu = condition("region", "Equal", "eu")
                flag["rules"] = [rule("r1", [{"id": "c1", **eu}], serve=first["id"])]
                flag["fallthrough"]["variations"] = [
                    {"id": first["id"], "rollout": [0, 0.5], "exptRollout": 1},
                    {"id": second["id"], "rollout": [0.5, 1], "exptRollout": 1},
                ]
                flag["description"], flag["tags"] = "about", ["t"]
                flag["isEnabled"] = False
        return held

    done = place.make(edit)
    assert done.failed == {}
    seen = place.state("a.mode")
    assert (seen["enabled"], seen["off"], seen["targets"]) == (False, "observe", 1)
    assert (seen["serves"], seen["rules"]) == ("50% off, 50% observe", 1)
    raw = place.target.read().raw["a.mode"]
    assert (raw["description"], raw["tags"]) == ("about", ["t"])
    back = place.make(lambda held, _, at: turn_on(held, "a.mode", at=at))
    assert back.changes[0].now == {"enabled": True}
    assert back.failed == {}


def test_a_rule_that_only_changes_inside_is_a_difference(place: Place) -> None:
    """The number of rules is the same; what they say is not."""

    def region(name: str) -> Edit:
        def edit(held: Json, _: Snapshot, __: str) -> Json:
            held = json.loads(json.dumps(held))
            for flag in held["data"]["featureFlags"]:
                if flag["key"] == "a.mode":
                    one = {"id": "c1", **condition("region", "Equal", name)}
                    flag["rules"] = [rule("r1", [one], serve="off")]
            return held

        return edit

    place.make(region("eu"))
    done = place.make(region("us"))
    assert '"us"' in done.changes[0].now["rules"]
    assert place.make(region("us")).changes == ()


def test_a_flag_can_come_into_being(place: Place) -> None:
    """With everything it has, and on."""

    def edit(held: Json, _: Snapshot, at: str) -> Json:
        new = string_flag("b.mode", MODES, serve="observe", off="off", at=at)
        new["description"], new["tags"] = "new here", ["gov"]
        held = json.loads(json.dumps(held))
        held["data"]["featureFlags"].append(new)
        return held

    (change,) = place.make(edit).changes
    assert (change.key, change.was, change.now["serves"]) == ("b.mode", {}, "observe")
    raw = place.target.read().raw["b.mode"]
    assert (raw["isEnabled"], raw["tags"]) == (True, ["gov"])
    assert raw["description"] == "new here"
    assert {one["id"] for one in raw["variations"]} == set(MODES)


def test_a_flag_that_is_not_there_cannot_be_changed(place: Place) -> None:
    """The error names those that are."""
    with pytest.raises(FeatBitEditError, match=r"a\.deny, a\.global, a\.mode"):
        place.make(released("nope", "off"))
    assert place.log() == []


def test_what_no_provider_would_take_is_not_written(place: Place) -> None:
    """A value of the wrong type never lands."""

    def edit(held: Json, _: Snapshot, __: str) -> Json:
        held = json.loads(json.dumps(held))
        for flag in held["data"]["featureFlags"]:
            if flag["key"] == "a.global":
                flag["variations"][0]["value"] = "perhaps"
        return held

    before = place.target.read().raw
    with pytest.raises(Exception, match=r"a\.global"):
        place.make(edit)
    assert place.target.read().raw == before
    assert place.log() == []


def test_a_change_that_cannot_be_recorded_is_not_made(place: Place) -> None:
    """A release needs its record; a kill does not."""
    place.records.mkdir()
    before = place.target.read().raw
    with pytest.raises(RecordStoreError):
        place.make(released("a.mode", "autonomous"))
    assert place.target.read().raw == before
    done = place.make(killed("a.mode"), widens=False)
    assert (done.applied, done.record) == (True, None)
    assert done.unrecorded
    assert not place.state("a.mode")["enabled"]


def overtaken(place: Place, edit: Edit, key: str, theirs: Edit) -> Edit:
    """Return *edit*, during whose first planning another hand makes *theirs*."""
    calls: list[int] = []

    def racing(held: Json, snapshot: Snapshot, at: str) -> Json:
        calls.append(1)
        if len(calls) == 1:
            place.meddle(key, theirs)
        return edit(held, snapshot, at)

    return racing


def test_who_changed_the_same_flag_later_gets_a_conflict(place: Place) -> None:
    """Both sides are shown, nothing is written, and the record is revoked."""
    mine = released("a.mode", "autonomous")
    racing = overtaken(place, mine, "a.mode", released("a.mode", "off"))
    with pytest.raises(ConflictError) as caught:
        place.make(racing)
    (side,) = caught.value.sides
    assert "when read: serves observe" in side
    assert "theirs: serves off" in side
    assert "yours: serves autonomous" in side
    assert place.state("a.mode")["serves"] == "off"
    first, revoked = place.log()
    assert (revoked["ref"], revoked["result"]) == (first["id"], "not_applied")


def test_nothing_of_a_stale_change_is_half_written(place: Place) -> None:
    """One flag of three was changed by another hand: the other two stay."""

    def mine(held: Json, _: Snapshot, at: str) -> Json:
        for key, variant in (("a.deny", "all"), ("a.mode", "autonomous")):
            held = serve(held, key, variant, at=at)
        return serve(held, "a.global", "false", at=at)

    racing = overtaken(place, mine, "a.mode", released("a.mode", "off"))
    with pytest.raises(ConflictError):
        place.make(racing)
    assert place.state("a.deny")["serves"] == "now"
    assert place.state("a.global")["serves"] == "true"
    assert place.state("a.mode")["serves"] == "off"


def test_a_toggle_that_widens_is_guarded_too(place: Place) -> None:
    """FeatBit checks no revision of a toggle, so the target does."""
    place.make(killed("a.mode"), widens=False)
    mine: Edit = lambda held, _, at: turn_on(held, "a.mode", at=at)
    theirs: Edit = released("a.mode", "autonomous")

    def still_off(held: Json, snapshot: Snapshot, at: str) -> Json:
        return turn_off(theirs(held, snapshot, at), "a.mode", at=at)

    with pytest.raises(ConflictError, match="autonomous"):
        place.make(overtaken(place, mine, "a.mode", still_off))
    assert not place.state("a.mode")["enabled"]


def test_who_changed_another_flag_does_not_stand_in_the_way(place: Place) -> None:
    """Both changes are there."""
    mine = released("a.mode", "search_only")
    place.make(overtaken(place, mine, "a.global", killed("a.global")))
    assert place.state("a.mode")["serves"] == "search_only"
    assert not place.state("a.global")["enabled"]


def test_a_kill_is_not_stopped_by_another_hand(place: Place) -> None:
    """It goes on what is there now, and the other change survives."""
    theirs = released("a.mode", "search_only")
    racing = overtaken(place, killed("a.mode"), "a.mode", theirs)
    if isinstance(place.target, FileTarget):
        done = place.make(killed("a.mode"), widens=False)  # the lock keeps others out
    else:
        done = place.make(racing, widens=False)
        assert place.state("a.mode")["serves"] == "search_only"
    assert done.applied
    assert not place.state("a.mode")["enabled"]


def test_an_archived_flag_is_none(server: SimulatedFeatBit) -> None:
    """It is not among the live flags, and its key is known to be taken."""
    server.archive("a.mode")
    held = featbit(server).read()
    assert "a.mode" not in held.flags
    assert "a.mode" in held.snapshot.flag_set.archived_flags


def broken(server: SimulatedFeatBit, key: str) -> None:
    """Make a flag serve a variation that it does not have."""
    flag = next(f for f in flags()["data"]["featureFlags"] if f["key"] == key)
    flag["fallthrough"]["variations"][0]["id"] = "nowhere"
    server.put_flag(flag)


def test_one_unreadable_flag_does_not_hide_the_others(
    server: SimulatedFeatBit,
) -> None:
    """It is named with what is wrong; the rest can be changed."""
    broken(server, "a.mode")
    held = featbit(server).read()
    assert sorted(held.flags) == ["a.deny", "a.global"]
    assert "nowhere" in held.unread["a.mode"]
    with pytest.raises(UnreachableError, match="nowhere"):
        featbit(server).read(["a.mode"])


def test_segments_are_read_with_the_flags_that_need_them(
    server: SimulatedFeatBit,
) -> None:
    """A rule on a segment compiles; one on a segment that is gone is unread."""
    segment = "0779d76b-afc6-4886-ab65-af8c004273ad"
    mode = string_flag(
        "a.mode",
        MODES,
        serve="observe",
        off="off",
        rules=[
            rule(
                "r",
                [
                    {
                        "id": "c",
                        "property": "User is in segment",
                        "op": None,
                        "value": json.dumps([segment]),
                    }
                ],
                serve="off",
            )
        ],
    )
    server.put_flag(mode)
    assert segment in featbit(server).read().unread["a.mode"]
    server.put_segment(
        {
            "id": segment,
            "name": "trusted",
            "included": ["agent-1"],
            "excluded": [],
            "rules": [],
        }
    )
    held = featbit(server).read(["a.mode"])
    answer = held.snapshot.evaluate("a.mode", "agent-1", {})
    assert answer is not None
    assert answer.value == "off"


def test_a_server_that_is_down_is_said_so(server: SimulatedFeatBit) -> None:
    """Nothing is guessed."""
    target = featbit(server)
    server.pause()
    with pytest.raises(UnreachableError, match="FeatBit agents/prod"):
        target.read()
    server.resume()
    assert target.read().flags


def test_a_token_that_nobody_knows_is_said_so(server: SimulatedFeatBit) -> None:
    """And never shown."""
    token = "api-" + "x" * 40
    with pytest.raises(UnreachableError) as caught:
        featbit(server, token).read()
    assert "401" in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_an_environment_that_is_not_there_is_said_so(
    server: SimulatedFeatBit,
) -> None:
    """With those that the token sees."""
    client = ManagementClient(server.api_url, server.access_token)
    with pytest.raises(UnreachableError, match="agents/prod"):
        FeatBitTarget(client, "agents", "nope").read()


def test_a_write_that_is_answered_500_and_took_is_made(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """The read after it decides, and the lost audit entry is told."""
    place = Place(featbit(server), tmp_path, lambda *_: None)
    server.faults.save_then_500 = True
    done = place.make(killed("a.mode"), widens=False)
    assert (done.applied, dict(done.failed)) == (True, {})
    assert any("500" in note for note in done.notes)
    assert not place.state("a.mode")["enabled"]


def test_what_the_token_may_not_change_is_told_flag_by_flag(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """The others are changed all the same."""
    resource = f"project/{server.project_key}:env/{server.env_key}"
    token = server.token(
        [
            statement("project", "CanAccessProject", f"project/{server.project_key}"),
            statement("env", "CanAccessEnv", resource),
            statement("flag", "ToggleFlag", f"{resource}:flag/a.mode"),
        ],
        name="half",
    )
    place = Place(featbit(server, token), tmp_path, lambda *_: None)
    done = place.make(killed("a.mode", "a.global"), widens=False)
    assert [one.key for one in done.changes] == ["a.mode"]
    assert "403" in done.failed["a.global"]
    (record,) = place.log()
    assert record["failed"] == ["a.global"]
    assert [one["key"] for one in record["flags"]] == ["a.mode"]
    with pytest.raises(NotWrittenError, match=r"a\.global"):
        place.make(killed("a.global"), widens=False)
    assert place.state("a.global")["enabled"]


STEPS = {
    "turning off": "ToggleFlag",
    "description": "UpdateFlagDescription",
    "tags": "UpdateFlagTags",
    "variations": "UpdateFlagVariations",
    "off variation": "UpdateFlagOffVariation",
    "targeting": "UpdateFlagDefaultRule",
    "turning on": "ToggleFlag",
}
"""The steps of a change in their order, and what each needs permission for."""


def everything(turned: Callable[..., Json]) -> Edit:
    """Return the edit that changes each member, and turns the flag by *turned*."""

    def edit(held: Json, _: Snapshot, at: str) -> Json:
        held = turned(serve(held, "a.mode", "autonomous", at=at), "a.mode", at=at)
        for flag in held["data"]["featureFlags"]:
            if flag["key"] == "a.mode":
                flag["description"], flag["tags"] = "about", ["t"]
                flag["variations"].append({"id": "n", "name": "n", "value": "draft"})
                flag["disabledVariationId"] = "n"
        return held

    return edit


@pytest.mark.parametrize(
    ("turned", "failing"),
    [(turn_on, one) for one in STEPS if one not in ("turning off", "description")]
    + [(turn_off, one) for one in STEPS if one not in ("turning off", "turning on")],
)
def test_a_change_that_stops_on_its_way_is_partial(
    server: SimulatedFeatBit,
    tmp_path: Path,
    turned: Callable[..., Json],
    failing: str,
) -> None:
    """What was written is told, read back and recorded; nobody calls it unchanged."""
    server.toggle("a.mode", turned is turn_off)
    before = server.flag("a.mode")
    place = Place(featbit(server, denying(server, failing)), tmp_path, lambda *_: None)
    done = place.make(everything(turned))
    other = "turning off" if turned is turn_on else "turning on"
    steps = [one for one in STEPS if one != other]
    cut = steps.index(failing)
    parts = f"written: {', '.join(steps[:cut])}; not written: {', '.join(steps[cut:])}"
    assert done.failed["a.mode"].endswith(f"; {parts}")
    assert (done.changes, done.tokens, done.applied) == ((), {}, True)
    _, revoked = place.log()
    assert (revoked["result"], revoked["failed"]) == ("partial", ["a.mode"])
    (found,) = revoked["found"]
    about = {"description", "tags"} & set(steps[:cut])
    assert about <= found["to"].keys()
    after = server.flag("a.mode")
    targeted = after["fallthrough"] != before["fallthrough"]
    assert targeted == ("targeting" in steps[:cut])
    assert not after["isEnabled"]


def denying(server: SimulatedFeatBit, step: str) -> str:
    """Return a token that may do everything but *step*."""
    refused = statement("flag", STEPS[step], "project/*:env/*:flag/*")
    return server.token([EVERYTHING, {**refused, "effect": "deny"}], name="narrow")


def test_a_kill_that_stops_on_its_way_is_recorded(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """Off it is, and the record says what else is missing."""
    token = denying(server, "targeting")
    place = Place(featbit(server, token), tmp_path, lambda *_: None)

    def edit(held: Json, _: Snapshot, at: str) -> Json:
        return turn_off(serve(held, "a.mode", "off", at=at), "a.mode", at=at)

    done = place.make(edit, widens=False)
    told = "written: turning off; not written: targeting"
    assert done.failed["a.mode"].endswith(told)
    (record,) = place.log()
    assert (record["flags"], record["failed"]) == ([], ["a.mode"])
    assert record["found"][0]["to"] == {"enabled": False}


def test_a_flag_that_is_created_in_part_is_told(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """It is there, off, and its description is missing."""
    token = denying(server, "description")
    place = Place(featbit(server, token), tmp_path, lambda *_: None)

    def edit(held: Json, _: Snapshot, at: str) -> Json:
        new = boolean_flag("b.new", serve=True, off=False, at=at)
        return document([*held["data"]["featureFlags"], new])

    done = place.make(edit)
    assert "written: creation; not written: what follows it" in done.failed["b.new"]
    assert not place.state("b.new")["enabled"]
    assert place.log()[-1]["result"] == "partial"


class Meddled(ManagementClient):
    """A client with another hand that is busy after each change of variations."""

    theirs: Callable[[], object]

    def set_variations(self, *arguments: Any, **options: Any) -> Any:
        """Change them, and let the other hand act."""
        answer = super().set_variations(*arguments, **options)
        self.theirs()
        return answer


def test_what_somebody_changed_between_two_steps_is_not_overwritten(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """The change stops there, and tells whose part is missing."""
    client = Meddled(server.api_url, server.access_token)
    target = FeatBitTarget(client, server.project_key, server.env_key)
    place = Place(target, tmp_path, lambda *_: None)
    other = featbit(server)
    client.theirs = lambda: changes.made(
        other, Switch("set", released("a.mode", "off"), lambda _: (), {}, True), sign
    )
    sign = Signed(actor="bob", reason="theirs", records=tmp_path / "other.db")
    done = place.make(everything(turn_on))
    told = done.failed["a.mode"]
    assert "somebody else changed fallthrough meanwhile" in told
    assert "not written: off variation, targeting" in told
    assert place.state("a.mode")["serves"] == "off"
    assert place.log()[-1]["result"] == "partial"


class Silent(ManagementClient):
    """A client that makes each change of targeting and cannot tell how it ended."""

    def set_targeting(self, *arguments: Any, **options: Any) -> Any:
        """Change it, and say that nobody knows."""
        super().set_targeting(*arguments, **options)
        raise OutcomeUnknownError("PUT targeting: no answer")


def test_a_change_of_which_nobody_knows_is_not_called_unchanged(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """Whatever is read back stands in the record."""
    client = Silent(server.api_url, server.access_token)
    target = FeatBitTarget(client, server.project_key, server.env_key)
    place = Place(target, tmp_path, lambda *_: None)
    done = place.make(released("a.mode", "autonomous"))
    assert done.failed["a.mode"].endswith("no answer; not known: targeting")
    _, revoked = place.log()
    assert revoked["result"] == "partial"
    assert revoked["found"][0]["to"] == {"serves": "autonomous"}


def statement(kind: str, action: str, resource: str) -> Any:
    """Return one policy statement."""
    return {
        "id": action,
        "resourceType": kind,
        "effect": "allow",
        "actions": [action],
        "resources": [resource],
    }


def test_the_reason_stands_in_the_audit_log(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """With who gave it, cut to what FeatBit keeps."""
    place = Place(featbit(server), tmp_path, lambda *_: None)
    place.signed = Signed(actor="ann", reason="x" * 512, records=place.records)
    place.make(killed("a.mode"), widens=False)
    target = featbit(server)
    (entry,) = target.client.audit_logs(target.env_id, start_ms=0, end_ms=2**42)
    assert entry.comment.endswith("... [by ann]")
    assert len(entry.comment) == 512


def test_a_stale_file_is_not_overwritten(tmp_path: Path) -> None:
    """A plan is good for the content it was made on."""
    path = tmp_path / "flags.json"
    write_document(path, flags())
    target = FileTarget(path)
    planned = plan(target, killed("a.mode"), at=AT)
    write_document(path, turn_off(flags(), "a.global", at=AT))
    signed = Signed(actor="a", reason="r", records=tmp_path / "r.db")
    with pytest.raises(RefusedError, match="changed meanwhile"):
        target.write(planned, signed)
