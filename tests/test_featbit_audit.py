"""The audit log: no entry is lost or doubled on the way, and gaps are told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature.contrib.provider.featbit import authoring
from openfeature.contrib.provider.featbit.management import (
    AuditEntry,
    ManagedFlag,
    ManagementClient,
    ManagementError,
    NoAnswerError,
)
from openfeature.contrib.provider.featbit.management.audit import (
    GIVE_UP,
    PAGE,
    Page,
    chained,
    page,
    walk,
)
from openfeature.contrib.provider.featbit.management.difference import ABSENT, Change
from openfeature.contrib.provider.featbit.management.entries import (
    BROKEN,
    NO_COMMENT,
    NO_INSTRUCTIONS,
    NOBODY,
    PATCHED,
    UNREADABLE,
    entry,
)
from openfeature_gov.testing.featbit import SimulatedFeatBit

KEY = "agent.refunds"
WHY = "CHG-1: after the review of Monday"
SEGMENT = "0779d76b-afc6-4886-ab65-af8c004273ad"
EVER_MS = 4_000_000_000_000


def item(name: str = "e-1", at_us: int = 1_000_000, **changes: Any) -> dict[str, Any]:
    """Return an entry as the API shows it."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us)
    flag = {"id": "f-1", "key": KEY, "revision": "r1", "isEnabled": True}
    after = {**flag, "revision": "r2", "isEnabled": False}
    return {
        "id": name,
        "refId": "f-1",
        "refType": "FeatureFlag",
        "operation": "Update",
        "dataChange": {"previous": json.dumps(flag), "current": json.dumps(after)},
        "comment": WHY,
        "creatorId": "t-1",
        "creatorName": "ci",
        "creatorEmail": "Access token",
        "createdAt": moment.isoformat(),
        "instructions": [{"kind": "TurnFlagOff", "value": ""}],
        **changes,
    }


def changed(before: dict[str, Any] | None, after: dict[str, Any] | None) -> Any:
    sides = ("" if side is None else json.dumps(side) for side in (before, after))
    return dict(zip(("previous", "current"), sides, strict=True))


class Log:
    """A log of stamps in microseconds, some of them poison, that answers in pages."""

    def __init__(self, stamps: list[int], poison: Iterable[int] = ()) -> None:
        order = sorted(range(len(stamps)), key=lambda at: stamps[at], reverse=True)
        self.rows = [(stamps[at], str(at), at in poison) for at in order]
        self.requests = 0
        self.down = False

    def fetch(self, start: int, end: int, index: int, size: int) -> Page:
        self.requests += 1
        found = [row for row in self.rows if start * 1000 <= row[0] <= end * 1000]
        chosen = found[index * size : (index + 1) * size]
        if self.down or any(poison for _, _, poison in chosen):
            raise NoAnswerError("GET", "500", status=500, handled=True)
        return Page([entry(item(name, at)) for at, name, _ in chosen], len(found))


def names(found: list[AuditEntry]) -> list[str]:
    return [one.id for one in found if not one.gap]


class TestWalk:
    @settings(max_examples=200)
    @given(
        stamps=st.lists(st.integers(1000, 400_000), max_size=12),
        burst=st.integers(0, PAGE + 20),
        data=st.data(),
    )
    def test_every_entry_is_found_once_and_every_poison_lies_in_a_gap(
        self, stamps: list[int], burst: int, data: st.DataObject
    ) -> None:
        stamps = [*stamps, *[250_500] * burst]
        places = st.sets(st.integers(0, max(0, len(stamps) - 1)), max_size=3)
        poison = data.draw(places) if stamps else set()
        found = list(walk(Log(stamps, poison).fetch, 0, 500))
        good = {str(at) for at in range(len(stamps)) if at not in poison}
        assert set(names(found)) == good
        assert len(names(found)) == len(good)
        gaps = [one.gap for one in found if one.gap]
        for at in poison:
            assert any(low <= stamps[at] / 1000 <= high for low, high in gaps)
        assert all(high - low <= 2 * len(poison) for low, high in gaps)
        assert len(gaps) <= len(poison)

    def test_it_is_newest_first(self) -> None:
        found = list(walk(Log([*range(1000, 300_000, 700)]).fetch, 0, 500))
        stamps = [one.created_us for one in found]
        assert stamps == sorted(stamps, reverse=True)

    def test_pages_cost_one_request_each(self) -> None:
        log = Log([*range(1_000, 1_000 + 1000 * 450, 1000)])
        assert len(list(walk(log.fetch, 0, 1000))) == 450
        assert log.requests <= 6

    def test_a_poison_entry_costs_few_requests(self) -> None:
        log = Log([*range(1_000_000, 60_000_000, 500_000)], {60})
        assert len(list(walk(log.fetch, 0, 86_400_000))) == 118
        assert log.requests < 120

    def test_what_happens_meanwhile_does_not_shift_the_pages(self) -> None:
        log = Log([*range(1_000, 1_000 + 1000 * 250, 1000)])

        def busy(start: int, end: int, index: int, size: int) -> Page:
            answer = log.fetch(start, end, index, size)
            at = 400_000 + log.requests
            log.rows.insert(0, (at, f"late-{at}", False))
            return answer

        found = names(list(walk(busy, 0, 500)))
        assert {str(at) for at in range(250)} <= set(found)
        assert len(found) == len(set(found))

    def test_an_outage_is_an_error_and_no_gap(self) -> None:
        log = Log([1000])
        log.down = True
        with pytest.raises(NoAnswerError):
            list(walk(log.fetch, 0, 86_400_000))
        assert log.requests < 50 + GIVE_UP

    def test_an_empty_window(self) -> None:
        assert list(walk(Log([]).fetch, 0, 500)) == []
        assert list(walk(Log([1000]).fetch, 5, 4)) == []

    @pytest.mark.parametrize("data", [None, [], {"items": []}, {"totalCount": 1}])
    def test_what_is_no_page_is_told(self, data: object) -> None:
        with pytest.raises(ManagementError, match="no page of entries"):
            page(data, "/x")


class TestEntry:
    def test_it_says_who_did_what_and_when(self) -> None:
        read = entry(item())
        assert (read.kind, read.key, read.ref_id) == ("flag", KEY, "f-1")
        assert read.actor == ("t-1", "ci", "token")
        assert (read.revision_before, read.revision_after) == ("r1", "r2")
        assert read.instructions == ("TurnFlagOff",)
        assert read.difference == (Change("isEnabled", True, False),)
        assert (read.created_ms, read.findings) == (1000, ())

    @pytest.mark.parametrize(
        ("creator", "name", "email", "kind"),
        [
            ("u-1", "Jane", "jane@example.org", "user"),
            ("t-1", "ci", "Access token", "token"),
            (NOBODY, None, "System", "trigger"),
            ("t-9", None, "System", "deleted"),
            (None, None, None, "system"),
            ("u-2", "System", "x@example.org", "user"),
        ],
    )
    def test_actors(
        self, creator: str | None, name: str | None, email: str | None, kind: str
    ) -> None:
        facts: dict[str, Any] = {
            "creatorId": creator,
            "creatorName": name,
            "creatorEmail": email,
        }
        assert entry(item(**facts)).actor.kind == kind

    def test_a_change_without_comment(self) -> None:
        quiet = entry(item(comment=" ", creatorEmail="jane@example.org"))
        assert quiet.findings == (NO_COMMENT,)

    def test_a_creation_cannot_have_one(self) -> None:
        made = item(
            operation="Create",
            comment="",
            instructions=[],
            dataChange=changed(None, {"key": KEY}),
        )
        assert entry(made).findings == ()
        assert entry(made).difference == (Change("key", ABSENT, KEY),)

    def test_a_change_that_featbit_does_not_see(self) -> None:
        before = {"key": KEY, "rules": [{"id": "a"}, {"id": "b"}]}
        after = {"key": KEY, "rules": [{"id": "b"}, {"id": "a"}]}
        found = entry(item(instructions=[], dataChange=changed(before, after)))
        assert found.findings == (NO_INSTRUCTIONS,)
        assert found.difference == (Change("rules (order)", ["a", "b"], ["b", "a"]),)

    def test_the_note_on_a_flag_whose_segment_changed_is_exempt(self) -> None:
        before = {"key": KEY, "revision": "r1", "updatedAt": "2026-01-01T00:00:00Z"}
        after = {**before, "revision": "r9", "updatedAt": "2026-01-01T00:00:01Z"}
        comment = "Referenced segment 'trusted' has been updated."
        facts: dict[str, Any] = {"instructions": [], "comment": comment}
        note = entry(item(**facts, dataChange=changed(before, after)))
        assert note.cascaded
        assert note.findings == ()
        forged = {**after, "rules": []}
        found = entry(item(**facts, dataChange=changed(before, forged)))
        assert not found.cascaded
        assert found.findings == (NO_INSTRUCTIONS,)

    @pytest.mark.parametrize(
        "changes",
        [
            {"comment": ""},
            {"comment": "Updated via patch"},
            {"dataChange": changed({"envId": "a"}, {"envId": "b"})},
            {"dataChange": changed({"createdAt": "a"}, {"createdAt": "b"})},
        ],
    )
    def test_what_looks_like_a_patch(self, changes: dict[str, Any]) -> None:
        assert PATCHED in entry(item(**changes)).findings

    @pytest.mark.parametrize(
        "change",
        [
            None,
            {},
            changed(None, None),
            {"previous": "{", "current": "[]"},
            {"previous": '{"a":' * 253 + "1" + "}" * 253, "current": ""},
            {"previous": '{"a":' * 90_000, "current": ""},
        ],
    )
    def test_what_cannot_be_read_is_told(self, change: Any) -> None:
        assert UNREADABLE in entry(item(dataChange=change)).findings

    @pytest.mark.parametrize(
        "raw", [None, {}, {"id": "e"}, {"id": "e", "createdAt": "yesterday"}]
    )
    def test_an_entry_without_id_or_time_is_an_error(self, raw: object) -> None:
        with pytest.raises(ManagementError, match="audit log"):
            entry(raw)


def link(at: int, before: str, after: str, **changes: Any) -> AuditEntry:
    sides = ({"key": KEY, "revision": one, "n": one} for one in (before, after))
    facts = {"dataChange": changed(*sides), **changes}
    return entry(item(f"e-{at}-{after}", at * 1000, **facts))


def broken(*entries: AuditEntry, **known: set[str]) -> list[str]:
    found = chained(entries, {"f-1": set(), **known} if known else {})
    return [one.id for one in found if BROKEN in one.findings]


class TestChain:
    def test_a_whole_chain_is_whole_in_any_order_of_arrival(self) -> None:
        links = [link(1, "r1", "r2"), link(2, "r2", "r3"), link(3, "r3", "r4")]
        assert broken(*links) == []
        assert broken(*links[::-1]) == []

    def test_a_missing_link_is_found(self) -> None:
        assert broken(link(1, "r1", "r2"), link(3, "r3", "r4")) == ["e-3-r4"]

    def test_it_goes_on_from_what_was_seen_earlier(self) -> None:
        assert broken(link(5, "r2", "r3"), **{"f-1": {"r2"}}) == []
        assert broken(link(5, "r2", "r3"), **{"f-1": {"r1"}}) == ["e-5-r3"]

    def test_clocks_that_differ_do_not_break_it(self) -> None:
        assert broken(link(2, "r1", "r2"), link(1, "r2", "r3")) == []

    def test_nothing_follows_the_revision_of_a_note(self) -> None:
        same = {"key": KEY, "revision": "r2"}
        note = link(
            2,
            "r2",
            "phantom",
            instructions=[],
            comment="Referenced segment 's' has been updated.",
            dataChange=changed(same, {**same, "revision": "phantom"}),
        )
        assert broken(link(1, "r1", "r2"), note, link(3, "r2", "r3")) == []
        after_phantom = link(3, "phantom", "r3")
        assert broken(link(1, "r1", "r2"), note, after_phantom) == ["e-3-r3"]


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    rules = [
        authoring.rule(name, [authoring.condition("env", "Equal", name)], serve="true")
        for name in ("first", "second")
    ]
    flag = authoring.boolean_flag(KEY, serve=False, rules=rules)
    segment = authoring.segment(SEGMENT, included=["anna"])
    with SimulatedFeatBit(authoring.document([flag], [segment])) as simulated:
        yield simulated


@pytest.fixture
def client(server: SimulatedFeatBit) -> ManagementClient:
    return ManagementClient(server.api_url, server.access_token)


def flag_of(client: ManagementClient, env: str) -> ManagedFlag:
    found = client.flag(env, KEY)
    assert found is not None
    return found


def logs(
    client: ManagementClient, env: str, ref_id: str | None = None
) -> list[AuditEntry]:
    found = client.audit_logs(env, start_ms=0, end_ms=EVER_MS, ref_id=ref_id)
    return list(found)


def raw(server: SimulatedFeatBit, method: str, path: str, body: object) -> None:
    """Send what our client never would."""
    url = f"{server.api_url.removesuffix('/api/v1')}/api/v1/envs/{server.env_id}{path}"
    headers = {"Authorization": server.access_token}
    with urllib3.PoolManager() as pool:
        answer = pool.request(method, url, json=body, headers=headers, retries=False)
        assert answer.status == 200, answer.data


class TestServer:
    def test_a_change_is_told_with_its_reason_and_difference(
        self, server: SimulatedFeatBit, client: ManagementClient
    ) -> None:
        client.toggle(server.env_id, KEY, False, reason=WHY)
        flag = flag_of(client, server.env_id)
        [found] = logs(client, server.env_id)
        assert (found.key, found.comment, found.operation) == (KEY, WHY, "Update")
        assert (found.actor.name, found.actor.kind) == ("everything", "token")
        assert found.difference == (Change("isEnabled", True, False),)
        assert found.revision_after == flag.revision
        assert found.version_after == flag.version
        assert found.findings == ()

    def test_a_poison_entry_becomes_a_gap_and_the_others_stay(
        self, server: SimulatedFeatBit, client: ManagementClient
    ) -> None:
        client.set_name(server.env_id, KEY, "before", reason="before")
        path = f"/feature-flags/{KEY}/description"
        raw(server, "PUT", path, {"description": None, "comment": "poison"})
        client.set_name(server.env_id, KEY, "after", reason="after")
        found = logs(client, server.env_id)
        assert {one.comment for one in found if not one.gap} == {"before", "after"}
        [gap] = [one for one in found if one.gap]
        assert gap.findings == (UNREADABLE,)
        assert gap.gap is not None
        assert gap.gap[1] - gap.gap[0] <= 2

    def test_reordered_rules_and_patches_are_findings(
        self, server: SimulatedFeatBit, client: ManagementClient
    ) -> None:
        flag = flag_of(client, server.env_id)
        client.set_targeting(server.env_id, flag, reason="its conditions get ids")
        flag = flag_of(client, server.env_id)
        swapped = flag.model_copy(update={"rules": flag.rules[::-1]})
        client.set_targeting(server.env_id, swapped, reason=WHY)
        patch = [{"op": "replace", "path": "/isEnabled", "value": False}]
        raw(server, "PATCH", f"/feature-flags/{KEY}", patch)
        patched, reordered, _ = logs(client, server.env_id)
        assert reordered.findings == (NO_INSTRUCTIONS,)
        order = Change("rules (order)", ["first", "second"], ["second", "first"])
        assert reordered.difference == (order,)
        assert patched.findings == (NO_COMMENT, PATCHED)

    def test_a_segments_change_leaves_notes_on_its_flags_and_the_chain_whole(
        self, server: SimulatedFeatBit, client: ManagementClient
    ) -> None:
        env = server.env_id
        rule = authoring.rule(
            "s", [authoring.segment_condition([SEGMENT])], serve="true"
        )
        flag = flag_of(client, env).model_copy(update={"rules": [rule]})
        client.set_targeting(env, flag, reason=WHY)
        segment = client.segment(env, SEGMENT)
        assert segment is not None
        wider = segment.model_copy(update={"included": ["anna", "bert"]})
        client.set_segment_targeting(env, wider, reason=WHY)
        client.toggle(env, KEY, False, reason=WHY)
        found = chained(logs(client, env), {})
        assert [one.cascaded for one in found if one.kind == "flag"] == [
            False,
            True,
            False,
        ]
        assert BROKEN not in {name for one in found for name in one.findings}

    def test_a_change_whose_entry_was_lost_breaks_the_chain(
        self, server: SimulatedFeatBit, client: ManagementClient
    ) -> None:
        client.set_name(server.env_id, KEY, "one", reason=WHY)
        server.faults.save_then_500 = True
        client.set_name(server.env_id, KEY, "two", reason=WHY)
        server.faults.save_then_500 = False
        client.set_name(server.env_id, KEY, "three", reason=WHY)
        found = chained(logs(client, server.env_id), {})
        assert [BROKEN in one.findings for one in found] == [False, True]

    def test_one_flag_alone_and_a_window_alone(
        self, server: SimulatedFeatBit, client: ManagementClient
    ) -> None:
        env = server.env_id
        server.put_flag(authoring.boolean_flag("other", serve=True))
        client.toggle(env, KEY, False, reason="this")
        client.toggle(env, "other", False, reason="that")
        ref = flag_of(client, env).id
        only = logs(client, env, ref)
        assert [one.comment for one in only] == ["this"]
        assert list(client.audit_logs(env, start_ms=0, end_ms=1000)) == []

    def test_a_deleted_token_shows_as_deleted(
        self, server: SimulatedFeatBit, client: ManagementClient
    ) -> None:
        everything = {"resourceType": "*", "effect": "allow"}
        token = server.token([{**everything, "actions": [], "resources": []}], name="t")
        mortal = ManagementClient(server.api_url, token)
        mortal.toggle(server.env_id, KEY, False, reason=WHY)
        server.revoke(token)
        [found] = logs(client, server.env_id)
        assert found.actor.kind == "deleted"
