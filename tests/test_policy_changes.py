"""Who changed the policy, and why: audit entries become records, each once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from openfeature.contrib.provider.featbit import FeatBitProvider, authoring
from openfeature.contrib.provider.featbit.management import (
    AuditEntry,
    ManagedFlag,
    ManagementClient,
    NoAnswerError,
)
from openfeature.contrib.provider.featbit.management.audit import Page, walk
from openfeature.contrib.provider.featbit.management.entries import entry, gap_entry
from openfeature_gov import Governor, ToolCall
from openfeature_gov.evidence.policy_changes import (
    CHANGE,
    GAP,
    OVERLAP_MS,
    POLL,
    AuditLogs,
    PolicyChanges,
)
from openfeature_gov.evidence.policy_facts import LONGEST, digest, facts, masked
from openfeature_gov.stores import history
from openfeature_gov.stores.sqlite import SqliteStore
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.conftest import CONTEXT, contract_yaml, flag_document

KEY = "gov.mode"
WHY = "CHG-1: after the review of Monday"


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    with SimulatedFeatBit(flag_document()) as simulated:
        yield simulated


@pytest.fixture
def client(server: SimulatedFeatBit) -> ManagementClient:
    return ManagementClient(server.api_url, server.access_token)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "records.db")
    yield opened
    opened.close()


def poller(
    client: ManagementClient, server: SimulatedFeatBit, store: SqliteStore
) -> PolicyChanges:
    past = partial(history.records, store.path)
    return PolicyChanges(client, server.env_id, store, past)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def kept(store: SqliteStore, kind: str = CHANGE) -> list[dict[str, Any]]:
    return history.records(store.path, kind=kind)


def flag_of(client: ManagementClient, env: str, key: str = KEY) -> ManagedFlag:
    found = client.flag(env, key)
    assert found is not None
    return found


def serving(flag: ManagedFlag, variation: str, **changes: Any) -> ManagedFlag:
    share = {"id": variation, "rollout": [0, 1], "exptRollout": 1}
    fallthrough = {"variations": [share]}
    return flag.model_copy(update={"fallthrough": fallthrough, **changes})


class TestRecord:
    def test_it_says_who_changed_what_and_why(
        self, server: SimulatedFeatBit, client: ManagementClient, store: SqliteStore
    ) -> None:
        before = flag_of(client, server.env_id)
        client.set_targeting(server.env_id, serving(before, "observe"), reason=WHY)
        after = flag_of(client, server.env_id)
        poll = poller(client, server, store).poll(now_ms())
        assert (poll.changes, poll.gaps, poll.findings) == (1, 0, ())
        [record] = kept(store)
        assert record["key"] == KEY
        assert record["comment"] == WHY
        assert (record["actor"]["name"], record["actor"]["kind"]) == (
            "everything",
            "token",
        )
        assert record["revisionBefore"] == before.revision
        assert record["revisionAfter"] == after.revision
        assert record["versionBefore"] == str(before.version)
        assert record["versionAfter"] == str(after.version)
        assert record["instructions"] == ["UpdateDefaultRuleVariationOrRollouts"]
        paths = {one["path"] for one in record["difference"]}
        assert "fallthrough.variations[observe]" in paths
        assert record["differences"] == len(record["difference"])

    def test_it_is_canonical_and_holds_no_float(
        self, server: SimulatedFeatBit, client: ManagementClient, store: SqliteStore
    ) -> None:
        flag = flag_of(client, server.env_id)
        shares = [
            {"id": "observe", "rollout": [0, 0.1]},
            {"id": "off", "rollout": [0.1, 1]},
        ]
        split = flag.model_copy(update={"fallthrough": {"variations": shares}})
        client.set_targeting(server.env_id, split, reason=WHY)
        poller(client, server, store).poll(now_ms())
        [record] = kept(store)

        def refuse(text: str) -> None:
            raise AssertionError(text)

        json.loads(orjson.dumps(record), parse_float=refuse)
        assert any("0.1" in str(one["after"]) for one in record["difference"])

    def test_the_users_that_a_flag_names_are_kept_as_digests(
        self, server: SimulatedFeatBit, client: ManagementClient, store: SqliteStore
    ) -> None:
        names = [authoring.condition("keyId", "IsOneOf", ["carl@example.org"])]
        same = [authoring.condition("name", "Equal", "dora@example.org")]
        segment = authoring.segment("s-1", included=["emil@example.org"], rules=[same])
        server.put_segment(segment)
        flag = flag_of(client, server.env_id)
        changed = flag.model_copy(
            update={
                "target_users": [
                    {
                        "keyIds": ["anna@example.org", "bert@example.org"],
                        "variationId": "off",
                    }
                ],
                "rules": [authoring.rule("r", names, serve="off")],
            }
        )
        client.set_targeting(server.env_id, changed, reason=WHY)
        held = client.segment(server.env_id, "s-1")
        assert held is not None
        wider = held.model_copy(update={"excluded": ["fred@example.org"]})
        client.set_segment_targeting(server.env_id, wider, reason=WHY)
        poller(client, server, store).poll(now_ms())
        text = orjson.dumps(kept(store)).decode()
        assert "example.org" not in text
        for name in ("anna", "bert", "carl", "fred"):
            assert digest(f"{name}@example.org") in text

    def test_one_user_among_thousands_is_one_place(self) -> None:
        users = [f"user-{number}" for number in range(5000)]
        before = {"targetUsers": [{"keyIds": users, "variationId": "v"}]}
        after = {"targetUsers": [{"keyIds": [*users[1:], "new"], "variationId": "v"}]}
        made = facts(entry(item(before, after)))
        places = [one["path"] for one in made["difference"]]
        assert places == sorted(
            f"targetUsers[v].keyIds.{digest(one)}" for one in ("user-0", "new")
        )

    def test_a_huge_difference_is_cut_and_its_digest_is_of_all(self) -> None:
        before = {f"field{number}": "x" * 1000 for number in range(300)}
        after = dict.fromkeys(before, "y" * 1000)
        made = facts(entry(item(before, after)))
        assert (len(made["difference"]), made["differences"]) == (LONGEST, 300)
        assert len(orjson.dumps(made)) < 64_000
        other = facts(entry(item(before, {**after, "field299": "z"})))
        assert other["differenceDigest"] != made["differenceDigest"]

    def test_hostile_text_is_escaped_and_nothing_is_lost_of_a_comment(self) -> None:
        comment = "\x1b[2J\u202e" + "ü" * 510
        name = "a\nrecord: forged\ud800"
        before, after = {"key": name, "\u202ex": 1}, {"key": name, "\u202ex": 2}
        made = facts(
            entry({**item(before, after), "comment": comment, "creatorName": name})
        )
        assert orjson.dumps(made).isascii()
        assert made["comment"].count("\\xfc") == 510
        assert "\n" not in made["actor"]["name"] + made["key"]

    def test_whatever_a_flag_holds_can_be_recorded(self) -> None:
        odds: tuple[Any, ...] = (None, 1, "x", [1], {"a": 1}, [[{}]])
        for odd in (*odds, [{"conditions": [1]}]):
            whole: Any = dict.fromkeys(
                ("targetUsers", "rules", "included", "excluded"), odd
            )
            facts(entry(item(whole, {**whole, "n": 10**30})))
            masked(
                {
                    **whole,
                    "rules": [{"conditions": [{"property": "key", "value": odd}]}],
                }
            )


def item(before: object, after: object, name: str = "e-1") -> dict[str, Any]:
    return {
        "id": name,
        "refId": "f-1",
        "operation": "Update",
        "comment": WHY,
        "createdAt": "2026-11-21T10:00:00Z",
        "dataChange": {"previous": json.dumps(before), "current": json.dumps(after)},
        "instructions": [{"kind": "SetRules", "value": []}],
    }


class TestPolling:
    def test_nothing_is_recorded_twice_and_nothing_is_missed(
        self, server: SimulatedFeatBit, client: ManagementClient, store: SqliteStore
    ) -> None:
        polls = poller(client, server, store)
        for number in range(4):
            client.set_name(server.env_id, KEY, f"name {number}", reason=f"{number}")
            polls.poll(now_ms())
            assert polls.poll(now_ms()).changes == 0
        assert [one["comment"] for one in kept(store)] == ["0", "1", "2", "3"]

    def test_a_restart_goes_on_from_the_records(
        self, server: SimulatedFeatBit, client: ManagementClient, tmp_path: Path
    ) -> None:
        path = tmp_path / "records.db"
        for number in range(3):
            store = SqliteStore(path)
            client.set_name(server.env_id, KEY, f"name {number}", reason=f"{number}")
            poll = poller(client, server, store).poll(now_ms())
            assert poll.changes == 1
            store.close()
            assert poll.start_ms == 0 if number == 0 else poll.start_ms > 0
        records = history.records(path, kind=CHANGE)
        assert [one["comment"] for one in records] == ["0", "1", "2"]

    def test_two_pollers_on_one_log_record_once(
        self, server: SimulatedFeatBit, client: ManagementClient, store: SqliteStore
    ) -> None:
        pollers = [poller(client, server, store) for _ in range(2)]
        for number in range(6):
            client.set_name(server.env_id, KEY, f"name {number}", reason=f"{number}")
            pollers[number % 2].poll(now_ms())
        client.set_name(server.env_id, KEY, "last", reason="6")
        start = threading.Barrier(2)

        def race(one: PolicyChanges) -> None:
            start.wait()
            one.poll(now_ms())

        threads = [threading.Thread(target=race, args=[one]) for one in pollers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one["comment"] for one in kept(store)] == [*"0123456"]
        assert kept(store, "unwritable") == []

    def test_two_processes_on_one_log_record_once(
        self, server: SimulatedFeatBit, client: ManagementClient, tmp_path: Path
    ) -> None:
        path = tmp_path / "records.db"
        stores = [SqliteStore(path), SqliteStore(path)]
        pollers = [poller(client, server, store) for store in stores]
        pollers[1].poll(now_ms())
        client.set_name(server.env_id, KEY, "once", reason=WHY)
        changes = [one.poll(now_ms()).changes for one in pollers]
        for store in stores:
            store.close()
        assert changes == [1, 0]
        assert len(history.records(path, kind=CHANGE)) == 1

    def test_a_quiet_poll_writes_nothing(
        self, server: SimulatedFeatBit, client: ManagementClient, store: SqliteStore
    ) -> None:
        polls = poller(client, server, store)
        before = len(history.records(store.path))
        for _ in range(3):
            polls.poll(now_ms())
        assert len(history.records(store.path)) == before

    def test_a_poison_entry_is_a_gap_once_and_what_follows_is_kept(
        self, server: SimulatedFeatBit, client: ManagementClient, store: SqliteStore
    ) -> None:
        polls = poller(client, server, store)
        client.set_name(server.env_id, KEY, "before", reason="before")
        server.put_flag({**server.flag(KEY), "description": "to be poisoned"})
        poison(client, server)
        client.set_name(server.env_id, KEY, "after", reason="after")
        assert polls.poll(now_ms()).gaps == 1
        assert poller(client, server, store).poll(now_ms()).gaps == 0
        [gap] = kept(store, GAP)
        assert gap["endMs"] - gap["startMs"] <= 2
        assert [one["comment"] for one in kept(store)] == ["before", "after"]
        # What the poison hides changed the revision: the chain shows it too.
        assert kept(store)[1]["findings"] == ["revision_chain_broken"]

    def test_findings_are_recorded_and_told(
        self, server: SimulatedFeatBit, client: ManagementClient, store: SqliteStore
    ) -> None:
        patch = [{"op": "replace", "path": "/isEnabled", "value": False}]
        raw(client, "PATCH", f"/envs/{server.env_id}/feature-flags/{KEY}", patch)
        poll = poller(client, server, store).poll(now_ms())
        [record] = kept(store)
        names = ["changed_without_comment", "looks_like_patch"]
        assert record["findings"] == names
        assert [(one.name, one.key) for one in poll.findings] == [
            (name, KEY) for name in names
        ]
        [noted] = kept(store, POLL)
        assert (noted["changes"], noted["gaps"], noted["findings"]) == (1, 0, 2)

    def test_a_change_that_left_no_entry_shows_in_the_next_even_after_a_restart(
        self, server: SimulatedFeatBit, client: ManagementClient, store: SqliteStore
    ) -> None:
        client.set_name(server.env_id, KEY, "one", reason=WHY)
        poller(client, server, store).poll(now_ms())
        server.faults.save_then_500 = True
        client.set_name(server.env_id, KEY, "two", reason=WHY)
        server.faults.save_then_500 = False
        client.set_name(server.env_id, KEY, "three", reason=WHY)
        poll = poller(client, server, store).poll(now_ms())
        assert [one.name for one in poll.findings] == ["revision_chain_broken"]

    def test_when_the_server_is_away_the_next_poll_catches_up(
        self, server: SimulatedFeatBit, client: ManagementClient, store: SqliteStore
    ) -> None:
        polls = poller(client, server, store)
        polls.poll(now_ms())
        client.set_name(server.env_id, KEY, "one", reason=WHY)
        server.pause()
        with pytest.raises(NoAnswerError):
            polls.poll(now_ms())
        server.resume()
        assert polls.poll(now_ms()).changes == 1


class Written:
    """An audit log whose entries are given, each with the time of its stamp."""

    def __init__(self, stamps_ms: list[int]) -> None:
        self.stamps_ms = stamps_ms

    def audit_logs(
        self, env_id: str, *, start_ms: int, end_ms: int
    ) -> Iterator[AuditEntry]:
        def fetch(start: int, end: int, index: int, size: int) -> Page:
            flag = {"key": KEY}
            found = [
                entry(item(flag, flag, str(at)))._replace(created_us=at * 1000)
                for at in sorted(self.stamps_ms, reverse=True)
                if start <= at <= end
            ]
            return Page(found[index * size : (index + 1) * size], len(found))

        return walk(fetch, start_ms, end_ms)


class Gaps:
    """An audit log of which nothing can be read."""

    def __init__(self, gap: tuple[int, int]) -> None:
        self.gap = gap

    def audit_logs(
        self, env_id: str, *, start_ms: int, end_ms: int
    ) -> Iterator[AuditEntry]:
        yield gap_entry(*self.gap)


class TestClocks:
    NOW = 10**12

    def polls(self, log: AuditLogs, store: SqliteStore) -> PolicyChanges:
        return PolicyChanges(log, "env", store, partial(history.records, store.path))

    def test_an_entry_with_an_older_stamp_is_still_found(
        self, store: SqliteStore
    ) -> None:
        log = Written([self.NOW])
        polls = self.polls(log, store)
        assert polls.poll(self.NOW).changes == 1
        log.stamps_ms.append(self.NOW - OVERLAP_MS + 1)
        assert polls.poll(self.NOW).changes == 1
        assert self.polls(log, store).poll(self.NOW).changes == 0

    def test_a_server_that_is_ahead_hides_no_later_entry_of_another(
        self, store: SqliteStore
    ) -> None:
        log = Written([self.NOW + OVERLAP_MS])
        assert self.polls(log, store).poll(self.NOW).changes == 1
        log.stamps_ms.append(self.NOW - OVERLAP_MS // 2)
        assert self.polls(log, store).poll(self.NOW).changes == 1

    def test_a_clock_of_ours_that_is_ahead_hides_nothing(
        self, store: SqliteStore
    ) -> None:
        ahead = 6 * OVERLAP_MS
        log = Written([self.NOW])
        polls = self.polls(log, store)
        assert polls.poll(self.NOW + ahead).changes == 1
        for minutes in range(1, 4):
            now = self.NOW + minutes * 60_000
            log.stamps_ms.append(now - 1)
            assert polls.poll(now + ahead).changes == 1
        assert polls.poll(now + ahead).start_ms == now - 1 - OVERLAP_MS

    def test_a_gap_moves_the_window_on(self, store: SqliteStore) -> None:
        polls = self.polls(Gaps((self.NOW - 1, self.NOW)), store)
        assert polls.poll(self.NOW + 5).gaps == 1
        assert polls.poll(self.NOW + 5).start_ms == self.NOW - OVERLAP_MS

    def test_a_gap_that_only_touches_a_recorded_one_is_kept(
        self, store: SqliteStore
    ) -> None:
        log = Gaps((self.NOW, self.NOW + 1))
        polls = self.polls(log, store)
        found = []
        for gap in (
            (self.NOW, self.NOW + 1),
            (self.NOW + 1, self.NOW + 900),
            (self.NOW + 5, self.NOW + 6),
        ):
            log.gap = gap
            found.append(polls.poll(self.NOW + 900).gaps)
        assert found == [1, 1, 0]
        assert [one["endMs"] - self.NOW for one in kept(store, GAP)] == [1, 900]

    def test_an_empty_log_starts_where_it_is_told(self, store: SqliteStore) -> None:
        log = Written([self.NOW - 5, self.NOW + 5])
        past = partial(history.records, store.path)
        polls = PolicyChanges(log, "env", store, past, since_ms=self.NOW)
        assert polls.poll(self.NOW).start_ms == self.NOW
        assert [one["createdMs"] for one in kept(store)] == [self.NOW + 5]


def raw(client: ManagementClient, method: str, path: str, body: Any) -> None:
    """Send what the client itself never would."""
    client._http.write(method, path, body)


def poison(client: ManagementClient, server: SimulatedFeatBit) -> None:
    path = f"/envs/{server.env_id}/feature-flags/{KEY}/description"
    raw(client, "PUT", path, {"description": None, "comment": "poison"})


def test_decisions_after_a_change_carry_the_version_that_its_record_names(
    server: SimulatedFeatBit, client: ManagementClient, tmp_path: Path
) -> None:
    contracts = tmp_path / "governance.yaml"
    contracts.write_text(contract_yaml("mail.send"))
    provider = FeatBitProvider.live(
        streaming_url=server.streaming_url,
        event_url=server.event_url,
        secret=server.server_secret,
    )
    governor = Governor.open(contracts, provider, tmp_path / "records.db")
    try:
        governor.tool("mail.send")(lambda: "sent")
        call = ToolCall("mail.send", {}, CONTEXT)
        governor.decide(call)
        flag = serving(flag_of(client, server.env_id), "observe")
        written = client.set_targeting(server.env_id, flag, reason=WHY)
        changed = governor.decide(call, at_least_as_fresh=written.token)
        store = governor.records
        assert isinstance(store, SqliteStore)
        poller(client, server, store).poll(now_ms())
    finally:
        governor.close()
    assert changed.decision.mode.label == "observe"
    [change] = history.records(tmp_path / "records.db", kind=CHANGE)
    first, second = (
        {flag["key"]: flag["version"] for flag in one["flags"]}[KEY]
        for one in history.records(tmp_path / "records.db", kind="decision")
    )
    assert (change["versionBefore"], change["versionAfter"]) == (first, second)
    assert f"{KEY}@{second}" == written.token
