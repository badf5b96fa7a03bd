"""The simulated management API behaves as the real one, pitfalls included."""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3

from openfeature.contrib.provider.featbit import authoring
from openfeature_gov.testing.featbit import SimulatedFeatBit
from openfeature_gov.testing.featbit.tokens import matches

ALLOW, DENY = "11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-02"
CREATION: dict[str, Any] = {
    "name": "Agent: refunds",
    "key": "agent.refunds",
    "isEnabled": True,
    "description": "owner=payments",
    "variationType": "string",
    "variations": [
        {"id": ALLOW, "name": "allow", "value": "allow"},
        {"id": DENY, "name": "deny", "value": "deny"},
    ],
    "enabledVariationId": ALLOW,
    "disabledVariationId": DENY,
    "tags": ["agent"],
}


class Api:
    """A client of the API that checks nothing; lives for one test."""

    def __init__(self, server: SimulatedFeatBit, token: str = "") -> None:
        self.server = server
        self.token = token or server.access_token
        self.pool = urllib3.PoolManager(maxsize=4, retries=False, timeout=10.0)

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        path = path.replace("ENV", f"envs/{self.server.env_id}")
        response = self.pool.request(
            method,
            f"{self.server.api_url}/api/v1/{path}",
            body=body if isinstance(body, str | None) else json.dumps(body),
            headers={
                "Authorization": self.token,
                "Content-Type": "application/json",
            },
        )
        return response.status, response.json()

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.send(method, path, body)
        assert (status, answer["success"], answer["errors"]) == (200, True, [])
        return answer["data"]

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        status, answer = self.send(method, path, body)
        assert answer["success"] is False
        return status, answer["errors"][0]

    def flag(self, key: str = "agent.refunds") -> dict[str, Any]:
        found: dict[str, Any] = self.ok("GET", f"ENV/feature-flags/{key}")
        return found

    def put(self, path: str, **body: Any) -> Any:
        return self.ok("PUT", f"ENV/feature-flags/agent.refunds/{path}", body)

    def target(self, **changes: Any) -> Any:
        flag = self.flag()
        return self.put(
            "targeting",
            revision=flag["revision"],
            comment=changes.pop("comment", "CHG-1"),
            targeting={**targeting(flag), **changes},
        )

    def audit(self, **query: Any) -> list[dict[str, Any]]:
        pairs = "&".join(f"{name}={value}" for name, value in query.items())
        page = self.ok("GET", f"ENV/audit-logs?pageSize=50&{pairs}")
        items: list[dict[str, Any]] = page["items"]
        return items

    def kinds(self) -> list[str]:
        return [one["kind"] for one in self.audit()[0]["instructions"]]


def targeting(flag: dict[str, Any]) -> dict[str, Any]:
    fields = ("targetUsers", "rules", "fallthrough", "exptIncludeAllTargets")
    return {field: flag[field] for field in fields} | {
        "disabledVariationId": flag["disabledVariationId"]
    }


def rule(rule_id: str, *, value: str = "prod", serve: str = DENY) -> dict[str, Any]:
    return {
        "id": rule_id,
        "name": rule_id,
        "dispatchKey": "keyId",
        "includedInExpt": False,
        "conditions": [{"id": "c1", "property": "env", "op": "Equal", "value": value}],
        "variations": [{"id": serve, "rollout": [0, 1], "exptRollout": 1}],
    }


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    with SimulatedFeatBit() as simulated:
        yield simulated


@pytest.fixture
def api(server: SimulatedFeatBit) -> Iterator[Api]:
    client = Api(server)
    client.ok("POST", "ENV/feature-flags", CREATION)
    yield client
    client.pool.clear()


def restricted(api: Api, *statements: tuple[str, list[str], str]) -> Api:
    """Return the same client with a token of these (kind, actions, resource)."""
    permissions = [
        {
            "id": str(number),
            "resourceType": kind,
            "effect": "allow",
            "actions": actions,
            "resources": [resource],
        }
        for number, (kind, actions, resource) in enumerate(statements)
    ]
    client = Api(api.server, api.server.token(permissions, name="restricted"))
    client.pool = api.pool
    return client


def test_creation_has_the_real_result(api: Api) -> None:
    flag = api.flag()
    assert flag["fallthrough"] == {
        "dispatchKey": None,
        "includedInExpt": True,
        "variations": [{"id": ALLOW, "rollout": [0, 1], "exptRollout": 1}],
    }
    assert uuid.UUID(flag["revision"])
    assert flag["exptIncludeAllTargets"] is True
    (entry,) = api.audit()
    assert (entry["operation"], entry["comment"]) == ("Create", "")
    assert entry["dataChange"]["previous"] == ""
    assert json.loads(entry["dataChange"]["current"]) == flag
    assert entry["instructions"] == []


def test_creation_is_checked(api: Api) -> None:
    def refused(**changes: Any) -> tuple[int, str]:
        return api.refused("POST", "ENV/feature-flags", {**CREATION, **changes})

    assert refused() == (422, "KeyHasBeenUsed")
    assert refused(name="") == (400, "name_is_required")
    assert refused(key="a b") == (400, "key_is_invalid")
    assert refused(variations=[]) == (400, "variations_is_invalid")
    assert refused(variations=None) == (500, "InternalServerError")


def test_credentials_are_the_raw_token(api: Api) -> None:
    for text in ("", "api-unknown", f"Bearer {api.token}"):
        api.token = text
        assert api.refused("GET", "projects") == (401, "Unauthorized")


def test_projects_show_the_server_secret(api: Api) -> None:
    (project,) = api.ok("GET", "projects")
    assert project["key"] == api.server.project_key
    (environment,) = project["environments"]
    assert environment["id"] == api.server.env_id
    assert environment["key"] == api.server.env_key
    secrets = {one["type"]: one["value"] for one in environment["secrets"]}
    assert secrets["server"] == api.server.server_secret
    alone = api.ok("GET", f"projects/{project['id']}/ENV")
    assert "key" not in alone
    assert "projectId" not in alone


def test_a_toggle_gives_another_revision_and_a_no_op_no_trace(api: Api) -> None:
    before = api.flag()["revision"]
    assert api.put("toggle/true", comment="nothing") == before
    revision = api.put("toggle/false", comment="incident 7")
    assert revision == api.flag()["revision"] != before
    entry, creation = api.audit()
    assert creation["operation"] == "Create"
    assert entry["instructions"] == [{"kind": "TurnFlagOff", "value": ""}]
    assert entry["comment"] == "incident 7"
    assert entry["creatorName"] == "everything"
    assert entry["creatorEmail"] == "Access token"
    change = entry["dataChange"]
    assert json.loads(change["previous"])["revision"] == before
    assert json.loads(change["current"])["revision"] == revision


def test_the_list_hides_archived_flags_and_revisions(api: Api) -> None:
    for number in range(11):
        api.ok("POST", "ENV/feature-flags", {**CREATION, "key": f"agent.f{number}"})
    page = api.ok("GET", "ENV/feature-flags")
    assert (page["totalCount"], len(page["items"])) == (12, 10)
    page = api.ok("GET", "ENV/feature-flags?pageIndex=1")
    assert len(page["items"]) == 2
    (item,) = api.ok("GET", "ENV/feature-flags?name=AGENT.REFUNDS")["items"]
    assert "revision" not in item
    assert item["serves"] == {
        "enabledVariations": ["allow"],
        "disabledVariation": "deny",
    }
    api.put("archive", comment="done")
    assert api.ok("GET", "ENV/feature-flags?name=agent.refunds")["totalCount"] == 0
    archived = api.ok("GET", "ENV/feature-flags?isArchived=true")["items"]
    assert [one["key"] for one in archived] == ["agent.refunds"]


def test_deleting_needs_archiving_first(api: Api) -> None:
    path = "ENV/feature-flags/agent.refunds"
    problem = "CannotDeleteUnarchivedFeatureFlag"
    assert api.refused("DELETE", path) == (422, problem)
    assert api.put("archive") is True
    assert api.put("restore") is True
    assert api.put("archive") is True
    assert api.ok("DELETE", path, {"comment": "gone"}) is True
    assert api.refused("GET", path) == (404, "ResourceNotFound")
    operations = [one["operation"] for one in api.audit()]
    assert operations == ["Remove", "Archive", "Restore", "Archive", "Create"]
    assert api.audit()[0]["dataChange"]["current"] == ""


def test_an_unknown_flag_on_a_gated_route_is_forbidden(api: Api) -> None:
    path = "ENV/feature-flags/nope"
    assert api.refused("PUT", f"{path}/toggle/true", {}) == (403, "Forbidden")
    assert api.refused("GET", path) == (404, "ResourceNotFound")


def test_a_stale_revision_is_a_conflict(api: Api) -> None:
    flag = api.flag()
    api.put("name", name="Other", comment="c")
    body = {"revision": flag["revision"], "targeting": targeting(flag), "comment": "c"}
    path = "ENV/feature-flags/agent.refunds/targeting"
    assert api.refused("PUT", path, body) == (409, "Conflict")


def test_a_revision_that_is_no_guid_has_the_other_400(api: Api) -> None:
    path = "ENV/feature-flags/agent.refunds/off-variation"
    for body in ({"revision": "nope", "offVariationId": ALLOW}, "{"):
        status, answer = api.send("PUT", path, body)
        assert status == 400
        assert "success" not in answer
        assert answer["status"] == 400
        assert answer["errors"]


def test_targeting_replaces_everything(api: Api) -> None:
    api.target(rules=[rule("r1")], targetUsers=[])
    assert api.kinds() == ["SetRules"]
    flag = api.flag()
    whole = targeting(flag)
    del whole["targetUsers"]
    path = "ENV/feature-flags/agent.refunds/targeting"
    body = {"revision": flag["revision"], "targeting": whole, "comment": "c"}
    assert api.refused("PUT", path, body) == (500, "InternalServerError")
    assert api.flag() == flag


def test_instructions_say_what_changed(api: Api) -> None:
    api.target(rules=[rule("r1")])
    changed = {**rule("r1"), "name": "renamed"}
    api.target(rules=[changed])
    assert api.kinds() == ["UpdateRuleName"]
    api.target(rules=[changed, rule("r2")])
    assert api.kinds() == ["AddRule"]
    api.target(rules=[{**changed, "conditions": []}, rule("r2")])
    assert api.kinds() == ["RemoveRuleConditions"]
    api.target(rules=[rule("r2", value="dev", serve=ALLOW)])
    assert api.kinds() == [
        "RemoveRule",
        "UpdateRuleCondition",
        "UpdateRuleVariationOrRollouts",
    ]
    api.target(targetUsers=[{"keyIds": ["a"], "variationId": DENY}])
    assert api.audit()[0]["instructions"] == [
        {"kind": "AddTargetUsers", "value": {"keyIds": ["a"], "variationId": DENY}}
    ]
    split = [
        {"id": ALLOW, "rollout": [0, 0.1], "exptRollout": 1},
        {"id": DENY, "rollout": [0.1, 1], "exptRollout": 1},
    ]
    api.target(fallthrough={"dispatchKey": "team", "variations": split})
    assert api.kinds() == [
        "UpdateDefaultRuleDispatchKey",
        "UpdateDefaultRuleVariationOrRollouts",
    ]
    revision = api.flag()["revision"]
    api.put("variations", revision=revision, variations=CREATION["variations"][:1])
    assert api.kinds() == ["RemoveVariation"]
    api.put("tags", tags=["b"])
    assert api.kinds() == ["AddTags", "RemoveTags"]


def test_list_conditions_show_their_values(api: Api) -> None:
    def listed(values: list[str]) -> dict[str, Any]:
        one = rule("r1", value=json.dumps(values))
        one["conditions"][0]["op"] = "IsOneOf"
        return one

    api.target(rules=[listed(["a", "b"])])
    api.target(rules=[listed(["b", "c"])])
    value = {"conditionId": "c1", "ruleId": "r1"}
    assert api.audit()[0]["instructions"] == [
        {"kind": "AddValuesToRuleCondition", "value": {**value, "values": ["c"]}},
        {"kind": "RemoveValuesFromRuleCondition", "value": {**value, "values": ["a"]}},
    ]


@pytest.mark.parametrize("blind", range(7))
def test_blind_spots_change_the_flag_without_instruction(api: Api, blind: int) -> None:
    """And without permission: a token that may do nothing can make them."""
    split = [
        {"id": ALLOW, "rollout": [0, 0.5], "exptRollout": 1},
        {"id": DENY, "rollout": [0.5, 1], "exptRollout": 1},
    ]
    swapped = [
        {**one, "id": other["id"]}
        for one, other in zip(split, reversed(split), strict=True)
    ]
    fallthrough = {"dispatchKey": "team", "includedInExpt": False, "variations": split}
    rules = [rule("r1"), rule("r2", serve=ALLOW)]
    changes: list[dict[str, Any]] = [
        {"rules": rules[::-1]},
        {"fallthrough": {**fallthrough, "variations": swapped}},
        {"fallthrough": {**fallthrough, "dispatchKey": None}},
        {"fallthrough": {**fallthrough, "includedInExpt": True}},
        {"targetUsers": [{"keyIds": ["x"], "variationId": "unknown"}]},
        {"rules": [*rules, rule("r1", serve=ALLOW)]},
        {"rules": [{**rules[0], "dispatchKey": None}, rules[1]]},
    ]
    api.target(rules=rules, fallthrough=fallthrough)
    before = api.flag()
    nobody = restricted(api)
    path = "ENV/feature-flags/agent.refunds/targeting"
    whole = {**targeting(before), **changes[blind]}
    body = {"revision": before["revision"], "targeting": whole, "comment": "c"}
    nobody.ok("PUT", path, body)
    assert api.flag() != before
    assert api.kinds() == []
    body["revision"] = api.flag()["revision"]
    whole["rules"] = []
    assert nobody.refused("PUT", path, body) == (403, "Forbidden")


def test_patch_needs_nothing_and_says_nothing(api: Api) -> None:
    nobody = restricted(api)
    path = "ENV/feature-flags/agent.refunds"
    operation = {"op": "replace", "path": "/isEnabled", "value": False}
    assert nobody.ok("PATCH", path, [operation]) is True
    assert api.flag()["isEnabled"] is False
    entry = api.audit()[0]
    assert (entry["operation"], entry["comment"]) == ("Update", "")
    assert entry["creatorName"] == "restricted"
    status, answer = nobody.send("PATCH", path, [{"op": "test", "path": "/x"}])
    assert (status, answer["success"]) == (200, False)


def test_a_long_comment_saves_and_then_fails(api: Api) -> None:
    path = "ENV/feature-flags/agent.refunds/toggle/false"
    body = {"comment": "x" * 513}
    assert api.refused("PUT", path, body) == (500, "InternalServerError")
    assert api.flag()["isEnabled"] is False
    assert len(api.audit()) == 1


def test_a_write_can_fail_after_it_was_saved(api: Api) -> None:
    api.server.faults.save_then_500 = True
    path = "ENV/feature-flags/agent.refunds/toggle/false"
    assert api.refused("PUT", path, {}) == (500, "InternalServerError")
    api.server.faults.save_then_500 = False
    assert api.flag()["isEnabled"] is False
    assert len(api.audit()) == 1


def test_a_null_description_poisons_the_audit_log(api: Api) -> None:
    api.put("toggle/false")
    api.put("description", description=None, comment="oops")
    api.put("toggle/true")
    path = "ENV/audit-logs?pageSize=1&pageIndex="
    assert api.ok("GET", path + "0")["totalCount"] == 4
    assert api.refused("GET", path + "1") == (500, "InternalServerError")
    assert api.ok("GET", path + "2")["items"][0]["operation"] == "Update"
    assert api.refused("GET", "ENV/audit-logs") == (500, "InternalServerError")


def test_the_audit_log_can_be_asked(api: Api) -> None:
    api.put("toggle/false", comment="incident 7")
    api.ok("POST", "ENV/feature-flags", {**CREATION, "key": "agent.other"})
    flag = api.flag()
    assert len(api.audit(refId=flag["id"])) == 2
    assert len(api.audit(refId=flag["id"], refType="Segment")) == 0
    assert len(api.audit(query="INCIDENT")) == 1
    assert len(api.audit(creatorId=flag["updatorId"])) == 3
    assert len(api.audit(to=1)) == 0
    assert len(api.audit(**{"from": 1})) == 3
    nobody = restricted(api)
    assert len(nobody.audit()) == 3


def test_a_deleted_token_is_the_system(api: Api) -> None:
    other = Api(api.server, api.server.token([], name="gone"))
    operation = {"op": "replace", "path": "/isEnabled", "value": False}
    other.ok("PATCH", "ENV/feature-flags/agent.refunds", [operation])
    other.pool.clear()
    api.server.revoke(other.token)
    entry = api.audit()[0]
    assert (entry["creatorName"], entry["creatorEmail"]) == (None, "System")
    assert uuid.UUID(entry["creatorId"]).int
    api.server.trigger("agent.refunds", enabled=True)
    entry = api.audit()[0]
    assert entry["comment"] == "Turn on by trigger"
    assert not uuid.UUID(entry["creatorId"]).int


def test_permissions_follow_the_statements(api: Api) -> None:
    place = "project/agents:env/prod"
    narrow = restricted(
        api,
        ("project", ["CanAccessProject"], "project/agents"),
        ("env", ["CanAccessEnv"], place),
        ("flag", ["ToggleFlag"], f"{place}:flag/agent.*;agent"),
    )
    assert narrow.ok("GET", "projects")[0]["environments"]
    assert narrow.put("toggle/false")
    path = "ENV/feature-flags/agent.refunds"
    assert narrow.refused("PUT", f"{path}/archive", {}) == (403, "Forbidden")
    api.put("tags", tags=["other"])
    assert narrow.refused("PUT", f"{path}/toggle/true", {}) == (403, "Forbidden")
    creation = {**CREATION, "key": "agent.new"}
    creator = restricted(api, ("flag", ["CreateFlag"], f"{place}:flag/agent.*"))
    assert creator.refused("POST", "ENV/feature-flags", creation)[0] == 403
    creator = restricted(api, ("flag", ["CreateFlag"], f"{place}:flag/*"))
    assert creator.ok("POST", "ENV/feature-flags", creation)
    assert creator.refused("GET", "ENV/feature-flags") == (403, "Forbidden")
    assert creator.ok("GET", "projects") == []
    assert creator.refused("GET", "access-tokens") == (403, "Forbidden")


def test_a_denial_wins_and_a_short_pattern_is_a_prefix(api: Api) -> None:
    everything = {
        "resourceType": "flag",
        "effect": "allow",
        "actions": ["*"],
        "resources": ["project/*"],
    }
    but_toggling = {**everything, "effect": "deny", "actions": ["ToggleFlag"]}
    token = api.server.token([everything, but_toggling], name="careful")
    careful = Api(api.server, token)
    path = "ENV/feature-flags/agent.refunds"
    assert careful.refused("PUT", f"{path}/toggle/false", {}) == (403, "Forbidden")
    assert careful.put("archive") is True
    careful.pool.clear()
    assert matches("project/a", "project/a:env/prod:flag/x")
    assert not matches("project/a:env/prod:flag/x", "project/a:env/prod")
    assert not matches("project/a*b", "project/ac")


def test_of_two_writers_with_one_revision_one_conflicts(api: Api) -> None:
    flag = api.flag()
    path = "ENV/feature-flags/agent.refunds/targeting"

    def write(name: str) -> int:
        whole = {**targeting(flag), "rules": [rule(name)]}
        body = {"revision": flag["revision"], "targeting": whole, "comment": name}
        return api.send("PUT", path, body)[0]

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(write, ["r1", "r2", "r3", "r4"]))
    assert statuses == [200, 409, 409, 409]
    assert len(api.audit()) == 2


def test_the_list_fails_once_the_off_variation_is_gone(api: Api) -> None:
    """Nothing of a variation's use is checked when it is removed."""
    revision = api.flag()["revision"]
    api.put("variations", revision=revision, variations=CREATION["variations"][:1])
    assert api.refused("GET", "ENV/feature-flags")[0] == 500
    assert api.flag()["disabledVariationId"] == DENY


def test_what_the_server_does_not_handle_is_a_500(api: Api) -> None:
    revision = api.flag()["revision"]
    body = {"revision": revision, "targeting": {"rules": 3, "targetUsers": []}}
    path = "ENV/feature-flags/agent.refunds/targeting"
    assert api.refused("PUT", path, body) == (500, "InternalServerError")
    assert api.refused("GET", "nowhere") == (404, "ResourceNotFound")


def test_version_6_takes_the_off_variation_from_targeting(api: Api) -> None:
    api.target(disabledVariationId=ALLOW)
    assert api.flag()["disabledVariationId"] == DENY
    api.server.version = "6"
    api.target(disabledVariationId=ALLOW)
    assert api.flag()["disabledVariationId"] == ALLOW
    assert api.kinds() == ["UpdateDisabledVariation"]
    flag = api.flag()
    path = "ENV/feature-flags/agent.refunds/targeting"
    for change in ({"disabledVariationId": None}, {"rules": [rule("r", serve="?")]}):
        whole = {**targeting(flag), **change}
        body = {"revision": flag["revision"], "targeting": whole, "comment": "c"}
        assert api.refused("PUT", path, body)[0] == 400


SEGMENT = {
    "type": "environment-specific",
    "name": "trusted agents",
    "key": "trusted-agents",
    "description": "",
    "scopes": ["organization/playground:project/agents:env/prod"],
}
USERS = {"included": ["agent-1"], "excluded": [], "rules": [], "comment": "CHG-2"}


def test_a_segment_edit_stamps_its_flags_and_keeps_their_revision(api: Api) -> None:
    segment = api.ok("POST", "ENV/segments", SEGMENT)
    member = rule("r1")
    member["conditions"] = [authoring.segment_condition([segment["id"]])]
    member["conditions"][0]["id"] = "c1"
    api.target(rules=[member])
    before = api.flag()
    path = f"ENV/segments/{segment['id']}"
    assert api.ok("PUT", f"{path}/targeting", USERS) is True
    after = api.flag()
    assert after["revision"] == before["revision"]
    assert after["updatedAt"] > before["updatedAt"]
    bumped, edited = api.audit()[:2]
    problem = "Referenced segment 'trusted agents' has been updated."
    assert bumped["comment"] == problem
    assert bumped["instructions"] == []
    phantom = json.loads(bumped["dataChange"]["current"])["revision"]
    assert phantom != after["revision"]
    assert edited["refType"] == "Segment"
    assert [one["kind"] for one in edited["instructions"]] == [
        "AddTargetUsersToIncluded"
    ]
    (reference,) = api.ok("GET", f"{path}/flag-references")
    assert reference["key"] == "agent.refunds"
    assert api.refused("PUT", f"{path}/archive", {}) == (422, "SegmentIsBeingUsed")


def test_segments_can_be_listed_edited_and_deleted(api: Api) -> None:
    segment = api.ok("POST", "ENV/segments", SEGMENT)
    path = f"ENV/segments/{segment['id']}"
    assert api.ok("PUT", f"{path}/name", {"name": "Other", "comment": "c"}) is True
    assert api.ok("PUT", f"{path}/tags", {"tags": ["a"], "comment": "c"}) is True
    (listed,) = api.ok("GET", "ENV/segments?name=other")["items"]
    assert listed["tags"] == ["a"]
    assert api.ok("GET", path)["name"] == "Other"
    assert api.ok("GET", f"ENV/segments/by-ids?ids={segment['id']}")[0] == api.ok(
        "GET", path
    )
    problem = "CannotDeleteUnArchivedSegment"
    assert api.refused("DELETE", path) == (422, problem)
    api.ok("PUT", f"{path}/archive", {"comment": "c"})
    assert api.ok("DELETE", path) is True
    assert api.refused("GET", path) == (404, "ResourceNotFound")


def test_health_needs_no_token(api: Api) -> None:
    url = f"{api.server.api_url}/health/readiness"
    assert api.pool.request("GET", url).status == 200
