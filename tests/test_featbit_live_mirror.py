"""The mirror of a live environment: which item counts, and what a kill holds."""

import copy
import json
import random
from typing import Any

import pytest

from openfeature.contrib.provider.featbit import Snapshot, read_snapshot
from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    condition,
    document,
    rule,
    segment,
    segment_condition,
    string_flag,
)
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.live.frames import (
    EMPTY,
    DataSync,
    read_frame,
    read_pulled,
)
from openfeature.contrib.provider.featbit.live.mirror import FLAG, Mirror


def at(second: int) -> str:
    """Return a stamp."""
    return f"2026-01-01T00:00:{second:02}.000Z"


def switch(second: int, *, on: bool = True, key: str = "a", **more: Any) -> Json:
    """Build one version of a boolean flag."""
    return boolean_flag(key, serve=True, enabled=on, at=at(second)) | more


def full(*flags: Any, segments: tuple[Any, ...] = ()) -> DataSync:
    return DataSync(full=True, flags=flags, segments=segments)


def patch(*flags: Any, segments: tuple[Any, ...] = ()) -> DataSync:
    return DataSync(full=False, flags=flags, segments=segments)


def held(*flags: Any, segments: tuple[Any, ...] = ()) -> Mirror:
    """Return a mirror after a full sync."""
    return Mirror().replaced(full(*flags, segments=segments))[0]


def value(mirror: Mirror, key: str = "a", **attributes: str) -> Any:
    """Evaluate *key*; None for a flag that is not there."""
    found = mirror.snapshot.evaluate(key, "u", attributes)
    return None if found is None else found.value


def test_a_full_sync_replaces_whatever_the_versions_say() -> None:
    """An older stamp in a full sync is the server's word: clocks differ."""
    mirror, _ = held(switch(10), switch(5, key="b")).replaced(full(switch(9, on=False)))
    assert value(mirror) is False
    assert mirror.snapshot.flag_set.flags.keys() == {"a"}


def test_a_patch_is_last_writer_wins_for_each_entity() -> None:
    """A stale item is ignored, leaves doubt, and stops nothing behind it."""
    mirror = held(switch(10), switch(10, key="b"))
    other = string_flag("a", ["x"], serve="x", off="x", at=at(9))
    mirror, certain = mirror.patched(
        patch(other, switch(11, on=False, key="b")), fresh=True
    )
    assert not certain
    assert (value(mirror), value(mirror, "b")) == (True, False)


def test_the_same_item_again_changes_nothing() -> None:
    """A duplicate, with or without what only pushes carry, is no new snapshot."""
    mirror = held(switch(10))
    again, certain = mirror.patched(
        patch(switch(10) | {"revision": "r", "creatorId": "c"}), fresh=True
    )
    assert certain
    assert again is mirror


def test_of_two_edits_in_one_millisecond_the_later_counts() -> None:
    """The stock storage loses the second."""
    mirror = held(switch(10))
    mirror, _ = mirror.patched(patch(switch(10, on=False)), fresh=True)
    assert value(mirror) is False


KILLS: dict[str, Json] = {
    "off": switch(10, on=False),
    "archived": switch(10, isArchived=True),
    "off and malformed": switch(10, on=False, variations=[]),
}


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("first", ["patch", "full"])
def test_only_a_newer_item_releases_a_kill(kill: str, first: str) -> None:
    """Neither a full sync of a lagging server nor a late push brings it back."""
    mirror = held(switch(8))
    if first == "patch":
        mirror, _ = mirror.patched(patch(KILLS[kill]), fresh=True)
    else:
        mirror, _ = mirror.replaced(full(KILLS[kill]))
    killed = value(mirror)
    assert not killed
    for older in (8, 9, 10):
        mirror, _ = mirror.replaced(full(switch(older)))
        assert value(mirror) == killed
        assert mirror.snapshot.latched == {"a"}
        mirror, _ = mirror.patched(patch(switch(older)), fresh=True)
        assert value(mirror) == killed
    unproved, certain = mirror.patched(patch(switch(11)), fresh=False)
    assert value(unproved) == killed
    assert not certain
    for released, _ in (
        mirror.patched(patch(switch(11)), fresh=True),
        mirror.replaced(full(switch(11))),
    ):
        assert value(released) is True
        assert not released.snapshot.latched


def test_a_kill_with_an_older_stamp_counts_until_a_full_sync_shows_better() -> None:
    """It may be newer than its stamp: another server's clock is behind."""
    mirror, certain = held(switch(10)).patched(patch(switch(9, on=False)), fresh=True)
    assert value(mirror) is False
    assert not certain
    assert value(mirror.replaced(full(switch(9, on=False)))[0]) is False
    assert value(mirror.replaced(full(switch(10)))[0]) is True


def test_an_older_kill_does_not_replace_a_newer_one() -> None:
    """Nor does it lower what a release must exceed."""
    mirror = held(switch(10, on=False))
    after, _ = mirror.patched(patch(switch(5, on=False)), fresh=True)
    assert after.snapshot is mirror.snapshot


def test_a_push_must_be_newer_than_what_a_kill_displaced() -> None:
    """A duplicate of the push before a kill with a late stamp is no release."""
    mirror, _ = held(switch(10)).patched(patch(switch(9, on=False)), fresh=True)
    again, certain = mirror.patched(patch(switch(10)), fresh=True)
    assert value(again) is False
    assert not certain
    assert value(again.patched(patch(switch(11)), fresh=True)[0]) is True
    assert value(again.replaced(full(switch(10)))[0]) is True


def item(kind: str, stamp: int, allowed: str) -> DataSync:
    """Return a full sync with a mode, or a segment, of that time."""
    flag, members = MEMBERS, segment("s", included=["u"], at=at(1))
    if kind == "flag":
        flag = string_flag("a", ["in", "out"], serve=allowed, off="out", at=at(stamp))
    else:
        names = ["u"] if allowed == "in" else []
        members = segment("s", included=names, at=at(stamp))
    return full(flag, segments=(members,))


@pytest.mark.parametrize("kind", ["flag", "segment"])
def test_an_older_version_counts_when_it_is_said_again_later(kind: str) -> None:
    """At first it may come from a server that lags; the newer one stays meanwhile."""
    mirror, _ = Mirror().replaced(item(kind, 9, "out"))
    lagging = item(kind, 8, "in")
    doubtful, _ = mirror.replaced(lagging)
    assert value(doubtful) == "out"
    assert doubtful.behind
    assert doubtful.snapshot is mirror.snapshot
    still, _ = doubtful.replaced(lagging, confirming=False)
    assert value(still) == "out"
    assert still.behind
    caught_up, _ = still.replaced(item(kind, 9, "out"))
    assert not caught_up.behind
    assert value(caught_up.replaced(lagging)[0]) == "out"
    assert value(still.replaced(lagging)[0]) == "in"
    assert value(still.replaced(item(kind, 7, "in"))[0]) == "out"


@pytest.mark.parametrize("kind", ["flag", "segment"])
def test_an_older_version_counts_at_once_after_a_push_of_it(kind: str) -> None:
    """Two sources say the same: it is newer than its stamp."""
    mirror, _ = Mirror().replaced(item(kind, 9, "out"))
    newer = item(kind, 8, "in")
    part = {"flag": patch(newer.flags[0]), "segment": patch(segments=newer.segments)}
    pushed, certain = mirror.patched(part[kind], fresh=True)
    assert not certain
    assert value(pushed) == "out"
    agreed, _ = pushed.replaced(newer)
    assert value(agreed) == "in"
    assert not agreed.behind


def test_a_kill_counts_at_once_whatever_its_stamp() -> None:
    """In a full sync as in a patch."""
    assert value(held(switch(10)).replaced(full(switch(9, on=False)))[0]) is False


def test_a_removed_flag_is_not_found() -> None:
    """And a lagging server cannot bring back one that was archived before."""
    mirror = held(switch(8, isArchived=True), switch(8, key="b"))
    mirror, _ = mirror.replaced(full())
    assert not mirror.snapshot.flags
    mirror, _ = mirror.replaced(full(switch(7), switch(8, key="b")))
    assert value(mirror) is None
    assert value(mirror, "b") is True
    assert mirror.snapshot.latched == {"a"}
    assert value(mirror.replaced(full(switch(9)))[0]) is True


def test_of_a_flag_said_twice_the_newest_counts_and_a_kill_before_all() -> None:
    """One message that contradicts itself cannot hide a kill."""
    both = [switch(10), switch(10, on=False)]
    for order in (both, both[::-1]):
        assert value(held(*order)) is False


BAD: dict[str, Json] = {
    "value": switch(11, variations=[{"id": "true", "value": "secret-value"}]),
    "no rules": {k: v for k, v in switch(11).items() if k != "rules"},
    "no stamp": switch(11, updatedAt="yesterday"),
    "no archived": switch(11, isArchived="no"),
    "operator": switch(
        11, rules=[rule("r", [condition("x", "Resembles", "y")], serve="true")]
    ),
    "segment": switch(
        11, rules=[rule("r", [segment_condition(["gone"])], serve="true")]
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("way", ["patch", "full"])
def test_a_bad_flag_is_refused_alone(case: str, way: str) -> None:
    """It is served neither as it was nor at all; the others are, and it may heal."""
    mirror = held(switch(10), switch(10, key="b"))
    sync = (BAD[case], switch(11, key="b"))
    if way == "patch":
        mirror, _ = mirror.patched(patch(*sync), fresh=True)
    else:
        mirror, _ = mirror.replaced(full(*sync))
    assert value(mirror) is None
    assert 'flag "a"' in mirror.snapshot.refused["a"]
    assert "secret-value" not in mirror.snapshot.refused["a"]
    assert mirror.snapshot.version("b") == mirror.snapshot.flag_set.flags["b"].version
    healed, _ = mirror.patched(patch(switch(12)), fresh=True)
    assert value(healed) is True
    assert not healed.snapshot.refused


def test_items_that_name_no_flag_leave_doubt() -> None:
    """They may have been a kill."""
    for nameless in ({}, {"key": ""}, 5, None):
        mirror, certain = held(switch(10)).patched(patch(nameless), fresh=True)
        assert not certain
        assert value(mirror) is True
        assert not mirror.replaced(full(nameless))[1]


MEMBERS = string_flag(
    "a",
    ["in", "out"],
    serve="out",
    off="out",
    rules=[rule("r", [segment_condition(["s"])], serve="in")],
)


def test_a_segment_change_reaches_the_flags_that_name_it() -> None:
    """Included, broken, archived, gone, back."""
    mirror = held(MEMBERS, switch(1, key="b"), segments=(segment("s", at=at(1)),))
    assert value(mirror) == "out"
    joined = segment("s", included=["u"], at=at(2))
    mirror, _ = mirror.patched(patch(segments=(joined,)), fresh=True)
    assert value(mirror) == "in"
    late = segment("s", at=at(1))
    same, certain = mirror.patched(patch(segments=(late,)), fresh=True)
    assert same.snapshot is mirror.snapshot
    assert not certain
    for bad in (joined | {"rules": 5}, joined | {"isArchived": True}):
        refused, _ = mirror.patched(
            patch(segments=(bad | {"updatedAt": at(3)},)), fresh=True
        )
        assert refused.snapshot.refused.keys() == {"a"}
        assert value(refused, "b") is True
    gone, _ = mirror.replaced(full(MEMBERS))
    assert gone.snapshot.refused.keys() == {"a"}
    assert value(gone.replaced(full(MEMBERS, segments=(joined,)))[0]) == "in"


def test_what_was_pushed_during_a_pull_wins() -> None:
    """The pull may have been answered before the push."""
    mirror, _ = held(switch(10)).patched(patch(switch(11, on=False)), fresh=True)
    new, _ = mirror.patched(patch(switch(11, key="b")), fresh=True)
    keep = frozenset({(FLAG, "a"), (FLAG, "b"), (FLAG, "never seen")})
    after, _ = new.replaced(full(switch(12)), keep=keep)
    assert value(after) is False
    assert value(after, "b") is True


def test_the_revision_tells_contents_apart() -> None:
    """Order and what pushes add do not matter; a value does."""
    one = held(switch(1), switch(2, key="b"))
    other = held(switch(2, key="b"), switch(1) | {"revision": "r"})
    assert one.snapshot.revision == other.snapshot.revision
    changed = held(switch(1), switch(2, key="b", on=False))
    assert changed.snapshot.revision != one.snapshot.revision


def compiled_anew(mirror: Mirror) -> Snapshot:
    """Read what is held from scratch, as a file."""
    items = [list(kind.values()) for kind in (mirror.flags, mirror.segments)]
    raw = [[one.raw for one in kind] for kind in items]
    return read_snapshot(json.dumps(document(*raw)))


def test_many_small_steps_give_the_same_snapshot_as_one() -> None:
    """Whatever is patched, reused and recompiled, answers are those of a fresh read."""
    random.seed(7)
    flags = {n: MEMBERS | {"key": f"f{n}", "id": f"f{n}"} for n in range(8)}
    mirror = held(*flags.values(), segments=(segment("s", at=at(0)),))
    for second in range(1, 60):
        key = random.randrange(8)
        enabled = random.random() < 0.7
        change = copy.deepcopy(flags[key]) | {
            "updatedAt": at(second),
            "isEnabled": enabled,
        }
        members = random.sample(["u", "v", "w"], random.randrange(3))
        step = patch(change, segments=(segment("s", included=members, at=at(second)),))
        mirror, _ = mirror.patched(step, fresh=True)
        fresh = compiled_anew(mirror)
        assert mirror.snapshot.flag_set == fresh.flag_set
        for n in range(8):
            for user in ("u", "v"):
                ours = mirror.snapshot.evaluate(f"f{n}", user, {})
                assert ours == fresh.evaluate(f"f{n}", user, {})


def test_only_what_changed_is_parsed_and_compiled_again() -> None:
    """A patch of one flag keeps every other object."""
    mirror = held(*[switch(1, key=f"f{n}") for n in range(50)])
    after, _ = mirror.patched(patch(switch(2, key="f7", on=False)), fresh=True)
    for n in range(50):
        same = after.snapshot.flags[f"f{n}"] is mirror.snapshot.flags[f"f{n}"]
        assert same is (n != 7)
    others = [switch(1, key=f"f{n}") for n in range(50) if n != 7]
    again, _ = after.replaced(full(*others, switch(2, key="f7", on=False)))
    assert again is after


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"messageType": 5}',
        '{"messageType": "data-sync"}',
        '{"messageType": "data-sync", "data": {"eventType": "half"}}',
        '{"messageType": "data-sync", "data": {"eventType": "full"}}',
        '{"messageType": "data-sync", "data": {"eventType": "full", "featureFlags": {}, "segments": []}}',  # noqa: E501
    ],
)
def test_frames_of_no_known_shape_are_refused(text: str) -> None:
    """And never quoted."""
    with pytest.raises(FeatBitDataError, match="message") as caught:
        read_frame(text)
    assert "eventType" not in str(caught.value) or "half" not in str(caught.value)


def test_pongs_carry_nothing_and_an_empty_answer_is_an_empty_environment() -> None:
    """A pull of everything that is answered by nothing: there is nothing."""
    assert read_frame('{"messageType":"Pong","data":{}}') is None
    assert read_pulled(b" \n") is EMPTY
    for refused in (b'{"messageType":"pong","data":{}}', b"<html>"):
        with pytest.raises(FeatBitDataError):
            read_pulled(refused)
    partial = '{"messageType":"data-sync","data":{"eventType":"patch","featureFlags":[],"segments":[]}}'  # noqa: E501
    with pytest.raises(FeatBitDataError, match="latest-all"):
        read_pulled(partial.encode())
