"""The management client: what it sends, refuses, and tells of how a write ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openfeature.contrib.provider.featbit import authoring
from openfeature.contrib.provider.featbit.management import (
    ManagedFlag,
    ManagementClient,
    MissingError,
    NewFlag,
    NewSegment,
    NoAnswerError,
    NotPermittedError,
    OutcomeUnknownError,
    RefusedError,
    StaleRevisionError,
    Variation,
    WriteFailedError,
)
from openfeature.contrib.provider.featbit.management.difference import (
    ABSENT,
)
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.scripted_featbit import (
    ENV,
    TOKEN,
    Script,
    bad,
    good,
    scripts,
)

KEY = "agent.refunds"
WHY = "CHG-1: after the review of Monday"
SEGMENT = "0779d76b-afc6-4886-ab65-af8c004273ad"


def document() -> authoring.Json:
    rules = [
        authoring.rule(
            name, [authoring.condition("env", "Equal", name)], serve="approve"
        )
        for name in ("first", "second")
    ]
    return authoring.document(
        [
            authoring.string_flag(
                KEY,
                ["allow", "approve", "deny"],
                serve="allow",
                off="deny",
                rules=rules,
            ),
            authoring.boolean_flag("agent.refunds.extra", serve=True),
        ],
        [authoring.segment(SEGMENT, included=["agent-1"])],
    )


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    with SimulatedFeatBit(document()) as simulated:
        yield simulated


@pytest.fixture(scope="module")
def untouched() -> Iterator[SimulatedFeatBit]:
    """Return a server for tests in which nothing may change."""
    with SimulatedFeatBit(document()) as simulated:
        yield simulated


@pytest.fixture
def refusing(untouched: SimulatedFeatBit) -> Iterator[tuple[ManagementClient, str]]:
    """Return a client and an environment, in which nothing has changed afterwards."""
    client = ManagementClient(untouched.api_url, untouched.access_token)
    env = untouched.env_id
    before = [*client.flags(env), *client.segments(env), client.flag(env, KEY)]
    yield client, env
    after = [*client.flags(env), *client.segments(env), client.flag(env, KEY)]
    assert after == before
    assert comments(client, env) == []


@pytest.fixture
def client(server: SimulatedFeatBit) -> ManagementClient:
    return ManagementClient(server.api_url, server.access_token)


@pytest.fixture
def env(server: SimulatedFeatBit) -> str:
    return server.env_id


@pytest.fixture
def scripted() -> Iterator[Script]:
    yield from scripts()


class TestReading:
    def test_an_environment_has_its_secrets_which_show_only_when_asked(
        self, server: SimulatedFeatBit, client: ManagementClient
    ) -> None:
        found = client.environment(server.project_key, server.env_key)
        assert found.id == server.env_id
        secret = found.server_secret
        assert secret is not None
        assert secret.get_secret_value() == server.server_secret
        assert server.server_secret not in repr(found) + str(client.projects())

    def test_another_environment_is_missing_and_the_visible_ones_are_told(
        self, client: ManagementClient
    ) -> None:
        with pytest.raises(MissingError, match=r"agents/nope.*sees: agents/prod"):
            client.environment("agents", "nope")

    def test_all_pages_of_flags_are_walked(
        self, server: SimulatedFeatBit, client: ManagementClient, env: str
    ) -> None:
        names = {f"many.{number:03}" for number in range(120)}
        for name in names:
            server.put_flag(authoring.boolean_flag(name, serve=True))
        assert {one.key for one in client.flags(env, name="many.")} == names
        assert len(list(client.flags(env))) == 122

    def test_archived_flags_are_listed_apart(
        self, server: SimulatedFeatBit, client: ManagementClient, env: str
    ) -> None:
        server.archive(KEY)
        assert KEY not in {one.key for one in client.flags(env)}
        assert [one.key for one in client.flags(env, archived=True)] == [KEY]
        found = client.flag(env, KEY)
        assert found is not None
        assert found.is_archived

    def test_a_missing_flag_is_none_though_a_longer_key_contains_it(
        self, client: ManagementClient, env: str
    ) -> None:
        assert client.flag(env, "agent.refund") is None

    def test_a_flag_that_the_token_may_not_see_is_not_missing(
        self, server: SimulatedFeatBit, env: str
    ) -> None:
        blind = ManagementClient(server.api_url, server.token([], name="blind"))
        with pytest.raises(NotPermittedError, match="not permitted, or no such"):
            blind.flag(env, KEY)

    @pytest.mark.parametrize("key", ["", "..", ".", "a/b", "a b", "ä", "x" * 129])
    def test_a_key_that_is_none_is_refused_before_it_is_sent(
        self, refusing: tuple[ManagementClient, str], key: str
    ) -> None:
        client, env = refusing
        with pytest.raises(RefusedError, match="is no flag key"):
            client.flag(env, key)

    def test_an_environment_id_is_a_guid(self, client: ManagementClient) -> None:
        with pytest.raises(RefusedError, match="GUID"):
            client.flag("../projects", KEY)

    def test_a_segment_and_its_references(
        self, server: SimulatedFeatBit, client: ManagementClient, env: str
    ) -> None:
        found = client.segment(env, SEGMENT)
        assert found is not None
        assert found.included == ["agent-1"]
        assert client.segment(env, "00000000-0000-4000-8000-000000000000") is None
        assert client.flag_references(env, SEGMENT) == []


def latest(client: ManagementClient, env: str, key: str = KEY) -> ManagedFlag:
    found = client.flag(env, key)
    assert found is not None
    return found


def comments(client: ManagementClient, env: str) -> list[str]:
    logs = client.audit_logs(env, start_ms=0, end_ms=4_000_000_000_000)
    return [one.comment for one in logs]


class TestReasons:
    @pytest.mark.parametrize(
        "reason", ["", "   ", "two\nlines", "bell\a", "x" * 513, "right\u202eleft"]
    )
    def test_no_change_without_one_printable_line(
        self, refusing: tuple[ManagementClient, str], reason: str
    ) -> None:
        client, env = refusing
        before = latest(client, env)
        made = NewFlag(
            key="new",
            name="new",
            variation_type="string",
            variations=before.variations,
            enabled_variation_id="allow",
            disabled_variation_id="deny",
        )
        writes: list[Callable[[], object]] = [
            lambda: client.toggle(env, KEY, False, reason=reason),
            lambda: client.archive(env, KEY, reason=reason),
            lambda: client.restore(env, KEY, reason=reason),
            lambda: client.set_targeting(env, before, reason=reason),
            lambda: client.set_off_variation(env, before, "deny", reason=reason),
            lambda: client.set_variations(
                env, before, before.variations, reason=reason
            ),
            lambda: client.set_description(env, KEY, "x", reason=reason),
            lambda: client.set_name(env, KEY, "x", reason=reason),
            lambda: client.set_tags(env, KEY, ["x"], reason=reason),
            lambda: client.create_flag(env, made, reason=reason),
            lambda: client.archive_segment(env, SEGMENT, reason=reason),
        ]
        for write in writes:
            with pytest.raises(RefusedError, match="reason"):
                write()

    def test_512_characters_arrive_whole(
        self, client: ManagementClient, env: str
    ) -> None:
        reason = "é" * 512
        client.toggle(env, KEY, False, reason=reason)
        assert comments(client, env) == [reason]


class TestChanging:
    def test_a_kill_is_confirmed_and_names_the_version_to_wait_for(
        self, client: ManagementClient, env: str
    ) -> None:
        before = latest(client, env)
        written = client.toggle(env, KEY, False, reason=WHY)
        after = latest(client, env)
        assert (written.changed, written.confirmed, written.notes) == (True, True, ())
        assert written.revision == after.revision != before.revision
        assert written.token == f"{KEY}@{after.version}"
        assert not after.is_enabled

    def test_a_toggle_to_the_same_changes_nothing(
        self, client: ManagementClient, env: str
    ) -> None:
        written = client.toggle(env, KEY, True, reason=WHY)
        assert (written.changed, written.confirmed) == (False, True)
        assert comments(client, env) == []

    def test_archive_and_restore(self, client: ManagementClient, env: str) -> None:
        assert client.archive(env, KEY, reason=WHY).confirmed
        assert latest(client, env).is_archived
        assert client.restore(env, KEY, reason=WHY).confirmed
        assert not latest(client, env).is_archived

    def test_texts_and_tags(self, client: ManagementClient, env: str) -> None:
        assert client.set_name(env, KEY, "Refunds", reason=WHY).confirmed
        assert client.set_description(env, KEY, "", reason=WHY).confirmed
        assert client.set_tags(env, KEY, ["b", "a"], reason=WHY).confirmed
        after = latest(client, env)
        assert (after.name, after.description) == ("Refunds", "")
        assert after.tags == ["b", "a"]

    @pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 129])
    def test_a_bad_name_is_refused(
        self, refusing: tuple[ManagementClient, str], name: str
    ) -> None:
        client, env = refusing
        with pytest.raises(RefusedError, match="name of the flag"):
            client.set_name(env, KEY, name, reason=WHY)

    def test_null_for_a_description_would_poison_the_audit_log(
        self, client: ManagementClient, env: str
    ) -> None:
        nothing: Any = None
        with pytest.raises(RefusedError, match="description"):
            client.set_description(env, KEY, nothing, reason=WHY)

    @pytest.mark.parametrize("version", ["5.4.2", "6.0.1"])
    def test_targeting_is_replaced_whole_with_the_off_variation(
        self, server: SimulatedFeatBit, client: ManagementClient, env: str, version: str
    ) -> None:
        server.version = version
        rule = authoring.rule(
            "canary",
            [
                authoring.condition("amount", "LessThan", "50"),
                authoring.segment_condition([SEGMENT]),
            ],
            serve={"allow": 0.1, "approve": 0.9},
            dispatch_key="accountId",
        )
        changed = latest(client, env).model_copy(
            update={
                "rules": [rule],
                "target_users": [{"keyIds": ["agent-7"], "variationId": "deny"}],
            }
        )
        written = client.set_targeting(env, changed, reason=WHY)
        assert (written.confirmed, written.notes) == (True, ())
        after = latest(client, env)
        assert after.disabled_variation_id == "deny"
        assert after.rules[0]["variations"][0]["rollout"] == [0, 0.1]
        assert after.target_users[0]["keyIds"] == ["agent-7"]
        assert after.fallthrough["variations"][0]["id"] == "allow"
        names = [one["id"] for one in after.rules[0]["conditions"]]
        assert len(set(names)) == 2
        assert comments(client, env) == [WHY]

    def test_an_off_variation_that_5_4_ignores_is_told(
        self, client: ManagementClient, env: str
    ) -> None:
        changed = latest(client, env).model_copy(
            update={"disabled_variation_id": "approve"}
        )
        written = client.set_targeting(env, changed, reason=WHY)
        assert not written.confirmed
        assert any("disabledVariationId" in note for note in written.notes)
        again = latest(client, env)
        assert client.set_off_variation(env, again, "approve", reason=WHY).confirmed
        assert latest(client, env).disabled_variation_id == "approve"

    def test_variations_are_replaced(self, client: ManagementClient, env: str) -> None:
        before = latest(client, env)
        more = [*before.variations, Variation(id="v4", name="wait", value="wait")]
        assert client.set_variations(env, before, more, reason=WHY).confirmed
        assert [one.id for one in latest(client, env).variations][-1] == "v4"
        fewer, now = [one for one in more if one.id != "deny"], latest(client, env)
        with pytest.raises(RefusedError, match="unknown variation"):
            client.set_variations(env, now, fewer, reason=WHY)

    def test_segments(self, client: ManagementClient, env: str) -> None:
        scope = ["organization/playground:project/agents:env/prod"]
        new = NewSegment(key="trusted", name="trusted", scopes=scope)
        made = client.create_segment(env, new, reason=WHY)
        assert made.description == WHY
        conditions = [authoring.condition("tier", "IsOneOf", ["gold"])]
        rule = {"id": "r1", "name": "tier", "conditions": conditions}
        changed = made.model_copy(update={"included": ["agent-2"], "rules": [rule]})
        assert client.set_segment_targeting(env, changed, reason=WHY).confirmed
        with pytest.raises(StaleRevisionError, match="nothing was written"):
            client.set_segment_targeting(env, changed, reason=WHY)
        assert client.archive_segment(env, made.id, reason=WHY).confirmed
        assert comments(client, env) == [WHY, WHY, WHY, ""]
        with pytest.raises(RefusedError, match="exists already"):
            client.create_segment(env, new, reason=WHY)

    def test_a_segment_in_use_is_not_archived(
        self, client: ManagementClient, env: str
    ) -> None:
        rule = authoring.rule(
            "r", [authoring.segment_condition([SEGMENT])], serve="approve"
        )
        changed = latest(client, env).model_copy(update={"rules": [rule]})
        client.set_targeting(env, changed, reason=WHY)
        assert [one.key for one in client.flag_references(env, SEGMENT)] == [KEY]
        with pytest.raises(RefusedError, match=f"is used by {KEY}"):
            client.archive_segment(env, SEGMENT, reason=WHY)


def new_flag(**changes: Any) -> NewFlag:
    facts: dict[str, Any] = {
        "key": "agent.new",
        "name": "Agent: new",
        "variation_type": "boolean",
        "variations": [
            Variation(id="v-on", name="on", value="true"),
            Variation(id="v-off", name="off", value="false"),
        ],
        "enabled_variation_id": "v-on",
        "disabled_variation_id": "v-off",
        "tags": ["governed"],
    }
    return NewFlag(**{**facts, **changes})


class TestCreating:
    def test_the_reason_follows_the_creation(
        self, client: ManagementClient, env: str
    ) -> None:
        new = new_flag(description="owner=payments", is_enabled=True)
        made = client.create_flag(env, new, reason=WHY)
        assert made.is_enabled
        assert made.description == "owner=payments"
        assert comments(client, env) == [WHY, WHY, ""]

    def test_without_a_description_the_reason_is_one(
        self, client: ManagementClient, env: str
    ) -> None:
        made = client.create_flag(env, new_flag(), reason=WHY)
        assert (made.is_enabled, made.description) == (False, WHY)

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"key": KEY}, "exists already"),
            ({"key": "a b"}, "is no flag key"),
            ({"name": ""}, "name of the flag"),
            ({"variations": []}, "variations is empty"),
            ({"enabled_variation_id": "nope"}, "unknown variation"),
            ({"disabled_variation_id": "nope"}, "unknown variation"),
            ({"variation_type": "number"}, "no finite number"),
            ({"variation_type": "enum"}, "no variationType"),
            ({"tags": ["a", "a"]}, "tags repeat"),
        ],
    )
    def test_what_the_server_would_take_is_refused(
        self,
        refusing: tuple[ManagementClient, str],
        changes: dict[str, Any],
        told: str,
    ) -> None:
        client, env = refusing
        with pytest.raises(RefusedError, match=told):
            client.create_flag(env, new_flag(**changes), reason=WHY)

    def test_an_archived_flag_holds_its_key(
        self, server: SimulatedFeatBit, client: ManagementClient, env: str
    ) -> None:
        server.archive(KEY)
        with pytest.raises(RefusedError, match="live or archived"):
            client.create_flag(env, new_flag(key=KEY), reason=WHY)

    def test_a_creation_that_answered_500_goes_on_if_it_is_there(
        self, server: SimulatedFeatBit, client: ManagementClient, env: str
    ) -> None:
        server.faults.save_then_500 = True
        made = client.create_flag(env, new_flag(), reason=WHY)
        assert made.description == WHY


def targeting_cases() -> list[Any]:
    share = {"id": "allow", "rollout": [0, 1], "exptRollout": 1}
    condition = {"id": "c", "property": "env", "op": "Equal", "value": "prod"}
    rule = {"id": "r", "conditions": [condition], "variations": [share]}

    def case(told: str, **changes: Any) -> Any:
        return pytest.param(changes, told, id=told)

    def with_condition(**changes: Any) -> dict[str, Any]:
        return {**rule, "conditions": [{**condition, **changes}]}

    def with_split(*shares: tuple[str, float, float]) -> dict[str, Any]:
        listed = [{"id": name, "rollout": [low, high]} for name, low, high in shares]
        return {**rule, "variations": listed}

    return [
        case("serves unknown variation", rules=[with_split(("nope", 0, 1))]),
        case("must cover 0 to 1", rules=[with_split(("allow", 0, 0.5))]),
        case("overlap", rules=[with_split(("allow", 0, 0.6), ("deny", 0.5, 1))]),
        case("from 0 to 1", rules=[with_split(("allow", 0, 1.5))]),
        case("runs backwards", rules=[with_split(("allow", 1, 0))]),
        case("unknown operator", rules=[with_condition(op="Equals")]),
        case("op is missing", rules=[with_condition(op=None)]),
        case("finite number", rules=[with_condition(op="LessThan", value="many")]),
        case("JSON list", rules=[with_condition(op="IsOneOf", value="5")]),
        case("value must be text", rules=[with_condition(value=5)]),
        case("id r appears twice", rules=[rule, rule]),
        case(
            "condition id c appears twice",
            rules=[{**rule, "conditions": [condition, condition]}],
        ),
        case(
            "unknown or archived segment",
            rules=[
                with_condition(property="User is in segment", op=None, value='["no"]')
            ],
        ),
        case(
            "variation deny appears twice",
            target_users=[
                {"keyIds": ["a"], "variationId": "deny"},
                {"keyIds": ["b"], "variationId": "deny"},
            ],
        ),
        case(
            "named twice",
            target_users=[
                {"keyIds": ["anna@example.org"], "variationId": "deny"},
                {"keyIds": ["anna@example.org"], "variationId": "allow"},
            ],
        ),
        case(
            "targetUsers serves unknown",
            target_users=[{"keyIds": [], "variationId": "x"}],
        ),
        case("disabledVariationId serves unknown", disabled_variation_id="nope"),
        case("disabledVariationId is blank", disabled_variation_id=""),
        case("fallthrough: variations is missing", fallthrough={}),
    ]


@pytest.mark.parametrize(("changes", "told"), targeting_cases())
def test_what_the_server_does_not_validate_is_refused_before_it_is_sent(
    refusing: tuple[ManagementClient, str], changes: dict[str, Any], told: str
) -> None:
    client, env = refusing
    before = latest(client, env)
    with pytest.raises(RefusedError, match=told) as refused:
        client.set_targeting(env, before.model_copy(update=changes), reason=WHY)
    assert "anna" not in str(refused.value)


class TestConflicts:
    def test_the_stale_writer_sees_both_sides_and_writes_nothing(
        self, client: ManagementClient, env: str
    ) -> None:
        mine = theirs = latest(client, env)
        reordered = theirs.model_copy(update={"rules": theirs.rules[::-1]})
        client.set_targeting(env, reordered, reason="first writer")
        current = latest(client, env)
        fallthrough = {"variations": [{"id": "deny", "rollout": [0, 1]}]}
        wanted = mine.model_copy(update={"fallthrough": fallthrough})
        with pytest.raises(StaleRevisionError) as stale:
            client.set_targeting(env, wanted, reason=WHY)
        assert latest(client, env) == current
        paths = {one.path: one for one in stale.value.changes}
        assert paths["rules (order)"].before == ["second", "first"]
        assert paths["rules (order)"].after == ["first", "second"]
        assert paths["fallthrough.variations[deny]"].before is ABSENT
        assert paths["fallthrough.variations[allow]"].after is ABSENT
        text = str(stale.value)
        assert mine.revision in text
        assert current.revision in text
        assert 'theirs ["second","first"], yours ["first","second"]' in text

    def test_of_two_writers_at_once_one_gets_the_conflict(
        self, server: SimulatedFeatBit, env: str
    ) -> None:
        start = threading.Barrier(2)
        won: list[str] = []
        refused: list[StaleRevisionError] = []
        base = latest(ManagementClient(server.api_url, server.access_token), env)

        def write(variation: str) -> None:
            client = ManagementClient(server.api_url, server.access_token)
            share = {"variations": [{"id": variation, "rollout": [0, 1]}]}
            changed = base.model_copy(update={"fallthrough": share})
            start.wait()
            try:
                client.set_targeting(env, changed, reason=WHY)
                won.append(variation)
            except StaleRevisionError as stale:
                refused.append(stale)

        threads = [
            threading.Thread(target=write, args=[one]) for one in ("approve", "deny")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = latest(ManagementClient(server.api_url, server.access_token), env)
        assert [after.fallthrough["variations"][0]["id"]] == won
        assert len(refused) == 1
        assert [one["id"] for one in after.rules] == ["first", "second"]

    def test_a_segment_that_somebody_changed_meanwhile(
        self, client: ManagementClient, env: str
    ) -> None:
        base = client.segment(env, SEGMENT)
        assert base is not None
        first = base.model_copy(update={"included": ["agent-2"]})
        client.set_segment_targeting(env, first, reason=WHY)
        second = base.model_copy(update={"included": ["agent-3"]})
        with pytest.raises(StaleRevisionError, match=r"included: theirs \[.agent-2"):
            client.set_segment_targeting(env, second, reason=WHY)


class TestPermissions:
    def test_missing_and_forbidden_are_told_apart(
        self, server: SimulatedFeatBit, env: str
    ) -> None:
        permissions = [
            {
                "id": "1",
                "resourceType": "env",
                "effect": "allow",
                "actions": ["CanAccessEnv"],
                "resources": ["project/agents:env/prod"],
            }
        ]
        token = server.token(permissions, name="looks only")
        client = ManagementClient(server.api_url, token)
        with pytest.raises(NotPermittedError, match="exists, but the token may not"):
            client.toggle(env, KEY, False, reason=WHY)
        with pytest.raises(MissingError, match='no flag "agent'):
            client.toggle(env, "agent.nope", False, reason=WHY)
        assert latest(client, env).is_enabled


class TestWithoutAnswer:
    def test_a_500_after_the_change_is_told_as_changed_with_its_lost_audit_entry(
        self, server: SimulatedFeatBit, client: ManagementClient, env: str
    ) -> None:
        server.faults.save_then_500 = True
        changed = latest(client, env).model_copy(update={"rules": []})
        written = client.set_targeting(env, changed, reason=WHY)
        assert (written.changed, written.confirmed) == (True, True)
        assert "answered 500" in written.notes[0]
        assert "audit entry is lost" in written.notes[1]
        assert written.token == latest(client, env).token
        assert comments(client, env) == []

    def test_a_kill_that_answered_500_holds(
        self, server: SimulatedFeatBit, client: ManagementClient, env: str
    ) -> None:
        server.faults.save_then_500 = True
        written = client.toggle(env, KEY, False, reason=WHY)
        assert (written.changed, written.confirmed) == (True, True)
        assert not latest(client, env).is_enabled

    def test_a_500_that_changed_nothing_is_a_failure(self, scripted: Script) -> None:
        flag = good(raw_flag())
        server, client = scripted(flag, bad(500, "InternalServerError"), flag)
        with pytest.raises(WriteFailedError, match="nothing was changed") as failed:
            client.set_name(ENV, KEY, "x", reason=WHY)
        assert failed.value.settled
        assert [one[0] for one in server.requests] == ["GET", "PUT", "GET"]

    def test_a_write_whose_answer_is_lost_is_looked_for_and_never_repeated(
        self, scripted: Script
    ) -> None:
        flag = good(raw_flag())
        server, client = scripted(flag, (0, b"", {}), flag)
        with pytest.raises(WriteFailedError, match="may still arrive") as failed:
            client.set_name(ENV, KEY, "x", reason=WHY)
        assert not failed.value.settled
        assert [one[0] for one in server.requests].count("PUT") == 1

    def test_it_may_arrive_while_we_look(self, scripted: Script) -> None:
        before = good(raw_flag())
        after = good(raw_flag(name="x", revision="r2"))
        entries = good({"totalCount": 0, "items": []})
        _, client = scripted(before, (0, b"", {}), before, after, entries)
        written = client.set_name(ENV, KEY, "x", reason=WHY)
        assert (written.changed, written.revision) == (True, "r2")

    def test_a_kill_is_sent_again_until_it_holds(self, scripted: Script) -> None:
        on, off = raw_flag(), raw_flag(isEnabled=False, revision="r2")
        server, client = scripted(
            good(on), bad(500), good(on), bad(500), good(on), good("r2"), good(off)
        )
        written = client.toggle(ENV, KEY, False, reason=WHY)
        assert (written.changed, written.confirmed) == (True, True)
        assert [one[0] for one in server.requests].count("PUT") == 3

    def test_a_kill_is_sent_again_although_somebody_else_edited_the_flag(
        self, scripted: Script
    ) -> None:
        on = raw_flag()
        edited = raw_flag(tags=["theirs"], revision="r2")
        off = raw_flag(tags=["theirs"], isEnabled=False, revision="r3")
        server, client = scripted(
            good(on), bad(503), good(edited), good("r3"), good(off)
        )
        written = client.toggle(ENV, KEY, False, reason=WHY)
        assert (written.revision, written.confirmed) == ("r3", True)
        assert [one[0] for one in server.requests].count("PUT") == 2

    def test_what_a_revision_guards_is_sent_again_while_nothing_changed(
        self, scripted: Script
    ) -> None:
        before, after = raw_flag(), raw_flag(revision="r2")
        wanted = [{**one, "value": "false"} for one in before["variations"]]
        after["variations"] = wanted
        flag = ManagedFlag.model_validate(before)
        changed = [Variation.model_validate(one) for one in wanted]
        server, client = scripted(bad(500), good(before), good("r2"), good(after))
        assert client.set_variations(ENV, flag, changed, reason=WHY).confirmed
        sent = [one[2]["revision"] for one in server.requests if one[0] == "PUT"]
        assert sent == ["r1", "r1"]
        # The first may arrive late: then the second is stale, and all is well.
        _, client = scripted(bad(500), good(before), bad(409), good(after))
        written = client.set_variations(ENV, flag, changed, reason=WHY)
        assert (written.revision, written.confirmed) == ("r2", True)
        other = raw_flag(revision="r9")
        _, client = scripted(bad(500), good(before), bad(409), good(other))
        with pytest.raises(StaleRevisionError):
            client.set_variations(ENV, flag, changed, reason=WHY)

    def test_a_stale_writer_of_the_same_is_told_all_the_same(
        self, scripted: Script
    ) -> None:
        now = raw_flag(revision="r2")
        flag = ManagedFlag.model_validate(raw_flag())
        _, client = scripted(bad(409), good(now))
        with pytest.raises(StaleRevisionError, match="both say the same"):
            client.set_variations(ENV, flag, flag.variations, reason=WHY)

    def test_a_kill_that_others_overtake_each_time_is_told(
        self, scripted: Script
    ) -> None:
        edited = good(raw_flag(tags=["theirs"], revision="r2"))
        server, client = scripted(good(raw_flag()), *[bad(503), edited] * 5)
        with pytest.raises(OutcomeUnknownError, match="isEnabled: yours false"):
            client.toggle(ENV, KEY, False, reason=WHY)
        assert [one[0] for one in server.requests].count("PUT") == 3

    def test_turning_on_is_not_repeated_on_what_somebody_else_made(
        self, scripted: Script
    ) -> None:
        off = good(raw_flag(isEnabled=False))
        edited = good(raw_flag(isEnabled=False, revision="r2"))
        server, client = scripted(off, bad(503), edited, good("r3"), edited)
        with pytest.raises(OutcomeUnknownError, match="somebody else"):
            client.toggle(ENV, KEY, True, reason=WHY)
        assert [one[0] for one in server.requests].count("PUT") == 1

    def test_a_kill_is_not_sent_for_ever(self, scripted: Script) -> None:
        on = good(raw_flag())
        script = [on, *[bad(500), on] * 5]
        server, client = scripted(*script)
        with pytest.raises(WriteFailedError):
            client.toggle(ENV, KEY, False, reason=WHY)
        assert [one[0] for one in server.requests].count("PUT") == 3

    def test_somebody_elses_change_is_not_taken_for_ours(
        self, scripted: Script
    ) -> None:
        other = good(raw_flag(name="other", revision="r9"))
        _, client = scripted(good(raw_flag()), bad(500), other)
        with pytest.raises(OutcomeUnknownError, match="somebody else changed it"):
            client.set_name(ENV, KEY, "x", reason=WHY)

    def test_if_it_cannot_be_read_afterwards_that_is_told(
        self, scripted: Script
    ) -> None:
        _, client = scripted(good(raw_flag()), good("r2"), bad(422, "X"))
        with pytest.raises(OutcomeUnknownError, match="reading it failed"):
            client.set_name(ENV, KEY, "x", reason=WHY)

    def test_an_overwritten_change_is_not_confirmed(self, scripted: Script) -> None:
        after = good(raw_flag(name="other", revision="r3"))
        _, client = scripted(good(raw_flag()), good("r2"), after)
        written = client.set_name(ENV, KEY, "x", reason=WHY)
        assert (written.changed, written.confirmed) == (True, False)
        assert 'name: written "x", read "other"' in written.notes

    def test_a_server_that_is_not_there(self) -> None:
        client = ManagementClient("http://127.0.0.1:1", TOKEN, timeout_s=1)
        with pytest.raises(NoAnswerError, match="NewConnectionError"):
            client.projects()

    def test_a_timeout_is_bounded(self, scripted: Script) -> None:
        server, client = scripted(good([]), timeout_s=0.05)
        release = threading.Event()
        server.finish_request = lambda *_: release.wait(20)  # type: ignore[method-assign,assignment]
        try:
            with pytest.raises(
                NoAnswerError, match=r"no answer: (ReadTimeout|not whole)"
            ):
                client.projects()
        finally:
            release.set()


def raw_flag(**changes: Any) -> dict[str, Any]:
    flag = authoring.boolean_flag(KEY, serve=True)
    return {**flag, "revision": "r1", "createdAt": authoring.UNCHANGED, **changes}


def test_no_request_is_a_patch_and_every_write_has_its_comment(
    scripted: Script,
) -> None:
    flag = good(raw_flag())
    server, client = scripted(flag)
    found = client.flag(ENV, KEY)
    assert found is not None
    client.toggle(ENV, KEY, True, reason=WHY)
    client.set_targeting(ENV, found, reason=WHY)
    client.set_off_variation(ENV, found, "true", reason=WHY)
    client.set_tags(ENV, KEY, [], reason=WHY)
    writes = [one for one in server.requests if one[0] != "GET"]
    assert {one[0] for one in writes} == {"PUT"}
    assert [one[2]["comment"] for one in writes] == [WHY] * 4
    targeting = writes[1][2]["targeting"]
    assert targeting["disabledVariationId"] == "false"
    assert {"targetUsers", "rules", "fallthrough"} <= targeting.keys()
