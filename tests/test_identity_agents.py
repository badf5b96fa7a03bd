"""Agents: keys that nobody can read out of their file, and chains that only narrow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from openfeature_gov import Actor, Controls, Effect, Outcome, ToolCall
from openfeature_gov.cli import app
from openfeature_gov.errors import IdentityError
from openfeature_gov.identity import identities as identities_module
from openfeature_gov.identity.agent_keys import AgentKeys
from openfeature_gov.identity.identities import Identities
from openfeature_gov.identity.key_sets import KeySet
from openfeature_gov.identity.principals import DEPTH, Principal, delegated
from openfeature_gov.identity.tokens import Tokens
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Desk, Make, contract_yaml
from tests.test_identity_tokens import KEYS, NOW, RULES, signed

SECOND = 1_000_000


class Now:
    """Be a wall clock in microseconds, to be set."""

    def __init__(self) -> None:
        self.us = NOW * SECOND

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def now() -> Now:
    """Return the clock."""
    return Now()


@pytest.fixture
def keys(tmp_path: Path, now: Now) -> AgentKeys:
    """Return an empty file of keys."""
    return AgentKeys(tmp_path / "agents.json", now)


def refused(code: str, what: Callable[..., object], *words: Any, **more: Any) -> None:
    with pytest.raises(IdentityError) as caught:
        what(*words, **more)
    assert caught.value.code == code


def test_a_key_says_who_and_is_kept_nowhere(keys: AgentKeys, tmp_path: Path) -> None:
    """The file holds a digest; the text of the key is in no file and no repr."""
    made, text = keys.add("agent-1", service="svc-1", scopes=["b", "a", "a"])
    principal = keys.authenticate(text)
    assert (principal.agent, principal.service) == ("agent-1", "svc-1")
    assert principal.scopes == {"a", "b"}
    secret = text.rpartition("_")[2]
    held = (tmp_path / "agents.json").read_text()
    assert text not in held
    assert secret not in held
    assert sha256(text[len("gov_") + 13 :].encode()).hexdigest() in held
    assert made.digest not in repr(made)
    assert (tmp_path / "agents.json").stat().st_mode & 0o777 == 0o600


def test_nobody_elses_text_is_a_key(keys: AgentKeys) -> None:
    """A wrong secret, an unknown id and other text are refused alike."""
    _, one = keys.add("agent-1")
    _, two = keys.add("agent-2")
    mixed = one[:16] + two[16:]
    for text in (mixed, one[:-1], one + "x", one.upper(), "", "gov_", None, 7, b"gov_"):
        refused("key_unknown", keys.authenticate, text)


def test_rotation_overlaps_and_revocation_does_not(keys: AgentKeys, now: Now) -> None:
    """The old key counts for the overlap; a revoked one from then on never again."""
    _, old = keys.add("agent-1", service="svc-1", scopes=["a"], lifetime_s=100)
    made, new = keys.rotate("agent-1", overlap_s=10)
    assert made.expires_us == now.us + 100 * SECOND
    assert keys.authenticate(new).scopes == {"a"}
    now.us += 10 * SECOND - 1
    assert keys.authenticate(old)
    now.us += 1
    refused("identity_expired", keys.authenticate, old)
    keys.revoke(made.id)
    refused("identity_revoked", keys.authenticate, new)
    with pytest.raises(ValueError, match="no key that counts"):
        keys.rotate("agent-1", overlap_s=10)
    with pytest.raises(ValueError, match="no agent with one"):
        keys.revoke("agent-9")


def test_a_rotation_lengthens_no_key(keys: AgentKeys, now: Now) -> None:
    """A key that ends before the overlap does is left to end."""
    old, text = keys.add("agent-1", lifetime_s=5)
    keys.rotate("agent-1", overlap_s=100)
    found = keys.get(old.id)
    assert found is not None
    assert found.expires_us == old.expires_us
    now.us += 5 * SECOND
    refused("identity_expired", keys.authenticate, text)


def test_other_processes_see_what_changed(keys: AgentKeys, now: Now) -> None:
    """A key that one process revokes is refused by the other at its next call."""
    other = AgentKeys(keys._path, now)
    made, text = keys.add("agent-1")
    assert other.authenticate(text).agent == "agent-1"
    keys.revoke(made.id)
    refused("identity_revoked", other.authenticate, text)


@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"{}",
        b'[{"id": "x"}]',
        b"\xff",
        b'[{"id":"000000000000","agent":"a b","digest":"' + b"0" * 64 + b'"}]',
    ],
)
def test_a_file_that_is_none_lets_nobody_in(keys: AgentKeys, held: bytes) -> None:
    """What cannot be read is no empty list, and its content is not repeated."""
    _, text = keys.add("agent-1")
    keys._path.write_bytes(held)
    refused("keys_unavailable", keys.authenticate, text)
    with pytest.raises(IdentityError):
        keys.add("agent-2")
    assert keys._path.read_bytes() == held
    keys._path.unlink()
    refused("keys_unavailable", keys.authenticate, text)
    with pytest.raises(IdentityError, match=r"agents\.json: No such file"):
        keys.every()


def test_an_id_twice_and_a_file_of_everybody_are_refused(keys: AgentKeys) -> None:
    """Whoever can write the file decides who acts."""
    _, text = keys.add("agent-1")
    whole = orjson.loads(keys._path.read_bytes())
    keys._path.chmod(0o620)
    refused("keys_unavailable", keys.authenticate, text)
    keys._path.chmod(0o600)
    keys._path.write_bytes(orjson.dumps([*whole, *whole]))
    refused("keys_unavailable", keys.authenticate, text)


@pytest.mark.parametrize(
    "words",
    [{"agent": "a b"}, {"agent": ""}, {"agent": "a", "service": "s s"}],
)
def test_a_key_needs_an_opaque_id(keys: AgentKeys, words: dict[str, Any]) -> None:
    """A name or an address is no id of an agent."""
    with pytest.raises(ValueError, match="should match"):
        keys.add(**words)
    with pytest.raises(ValueError, match="at least 1"):
        keys.add("a", scopes=[""])


def who(agent: str, *scopes: str, **more: Any) -> Principal:
    made: dict[str, Any] = {"credential": f"key:{agent}", "agent": agent}
    return Principal(**made, scopes=frozenset(scopes), **more)


SCOPES = st.frozensets(st.sampled_from("abcdef"))


@given(st.lists(SCOPES, min_size=2, max_size=4), st.data())
def test_a_chain_only_narrows(held: list[frozenset[str]], data: st.DataObject) -> None:
    """Whatever each agent holds, along the chain scopes only get fewer."""
    current = who("agent-0", *held[0])
    for number, scopes in enumerate(held[1:], 1):
        wanted = data.draw(st.none() | st.frozensets(st.sampled_from("abcdef")))
        to = who(f"agent-{number}", *scopes)
        if wanted is not None and not wanted <= current.scopes:
            refused(
                *("scope_widened", delegated, current, to),
                scopes=wanted,
                credential="dlg:1",
            )
            return
        narrowed = delegated(current, to, scopes=wanted, credential="dlg:1")
        assert narrowed.scopes <= current.scopes & scopes
        assert narrowed.delegation == (*current.delegation, current.agent)
        current = narrowed


def test_a_chain_ends_and_turns_on_nobody() -> None:
    """Three agents may stand behind the acting one, each once, each for itself."""
    current = who("agent-0", "a", user="user-1")
    for number in range(1, DEPTH + 1):
        to = who(f"agent-{number}", "a")
        current = delegated(current, to, scopes=None, credential="dlg:1")
    assert current.user == "user-1"
    four = who("agent-4", "a")
    refused(
        "delegation_too_deep", delegated, current, four, scopes=None, credential="d"
    )
    back = who("agent-0", "a")
    refused(
        "delegation_circular", delegated, current, back, scopes=None, credential="d"
    )
    alone: dict[str, Any] = {"scopes": None, "credential": "dlg:1"}
    one = who("agent-9", "a")
    refused("identity_borrowed", delegated, one, current, **alone)
    theirs = who("agent-8", "a", user="user-2")
    refused("identity_borrowed", delegated, one, theirs, **alone)


@pytest.fixture
def guarded(desk: Make, keys: AgentKeys, now: Now) -> tuple[Desk, Identities]:
    """Return a desk that only lets in whom it knows, and who knows."""
    tokens = Tokens(RULES, KeySet.of(KEYS), lambda: now.us / SECOND)
    known = Identities(keys, tokens, now)
    boundary = "{authenticated: true, apiScope: pay, blockedScopes: [admin]}"
    one = desk(
        contract_yaml("pay", hardBoundary=boundary),
        Controls(authorizer=known.authorizer),
    )
    one.governor.tool("pay")(lambda: "paid")
    return one, known


def run(one: Desk, actor: Actor) -> Outcome:
    return one.governor.run(ToolCall("pay", {}, replace(CONTEXT, actor=actor)))


def test_only_who_was_authenticated_acts(
    guarded: tuple[Desk, Identities], keys: AgentKeys
) -> None:
    """An actor that the host made up, or changed in any part, is denied."""
    one, known = guarded
    _, text = keys.add("agent-1", service="svc-1", scopes=["pay"])
    keys.add("agent-2", scopes=["pay", "admin"])
    actor = known.authenticate(text).actor(instance="i-1", user="user-1")
    assert run(one, actor).effect is Effect.ALLOW
    for change, reason in (
        ({"credential": ""}, "identity_missing"),
        ({"credential": "key:000000000000"}, "identity_unknown"),
        ({"credential": "dlg:0"}, "identity_unknown"),
        ({"agent": "agent-2"}, "identity_borrowed"),
        ({"service": "svc-2"}, "identity_borrowed"),
        ({"delegation": ("agent-0",)}, "identity_borrowed"),
        ({"scopes": actor.scopes | {"more"}}, "scopes_altered"),
    ):
        outcome = run(one, replace(actor, **change))
        assert (outcome.effect, outcome.reason) == (Effect.DENY, reason)
    keys.revoke("agent-1")
    assert run(one, actor).reason == "identity_revoked"
    one.governor.close()
    (first, *_) = history.records(one.records, kind="decision")
    assert first["context"]["credential"] == actor.credential
    assert text not in str(list(history.records(one.records)))


def test_tools_are_shown_to_who_was_authenticated(
    guarded: tuple[Desk, Identities], keys: AgentKeys
) -> None:
    """A model is not offered what its agent is denied anyhow."""
    one, known = guarded
    _, text = keys.add("agent-1", scopes=["pay"])
    actor = known.authenticate(text).actor()
    shown = one.governor.visible_tools
    assert shown(replace(CONTEXT, actor=actor)) == ("pay",)
    assert shown(replace(CONTEXT, actor=replace(actor, agent="agent-2"))) == ()


def test_nobody_hides_a_blocked_scope(
    guarded: tuple[Desk, Identities], keys: AgentKeys
) -> None:
    """A credential that holds too much cannot be shown as one that holds less."""
    one, known = guarded
    _, text = keys.add("agent-1", scopes=["pay", "admin"])
    actor = known.authenticate(text).actor()
    assert run(one, actor).reason == "blocked_scope_held"
    less = replace(actor, scopes=frozenset({"pay"}))
    assert run(one, less).reason == "scopes_altered"


def test_a_delegation_is_recorded_narrows_and_ends(
    guarded: tuple[Desk, Identities], keys: AgentKeys
) -> None:
    """The delegate acts with what both hold, until one of the two keys ends."""
    one, known = guarded
    first, text = keys.add("agent-1", scopes=["pay", "read"])
    _, other = keys.add("agent-2", scopes=["pay", "ship"])
    holder, to = known.authenticate(text), known.authenticate(other)
    made = known.delegate(holder, to)
    assert made.scopes == {"pay"}
    assert run(one, made.actor()).effect is Effect.ALLOW
    none = known.delegate(holder, to, ["read"])
    assert run(one, none.actor()).reason == "scope_missing"
    forged = replace(made.actor(), delegation=("agent-1", "agent-3"))
    assert run(one, forged).reason == "identity_borrowed"
    keys.revoke(first.id)
    assert run(one, made.actor()).reason == "identity_revoked"
    refused("identity_revoked", known.delegate, holder, to)
    one.governor.close()
    records = list(history.records(one.records, kind="decision"))
    assert records[0]["delegation"] == ["agent-1"]
    assert records[0]["context"]["agent"] == "agent-2"


def test_a_token_acts_for_its_user_until_it_ends(
    guarded: tuple[Desk, Identities], now: Now
) -> None:
    """The last actor of the token acts for its subject; nobody else's name fits."""
    one, known = guarded
    act = {"sub": "agent-5", "act": {"sub": "agent-4"}}
    principal = known.authenticate(
        signed(sub="user-7", act=act, scope="pay", azp="svc-9")
    )
    assert (principal.agent, principal.user) == ("agent-5", "user-7")
    assert principal.delegation == ("agent-4",)
    actor = principal.actor(user="user-7")
    assert run(one, actor).effect is Effect.ALLOW
    assert run(one, replace(actor, user="user-8")).reason == "identity_borrowed"
    with pytest.raises(IdentityError, match="identity_borrowed"):
        principal.actor(user="user-8")
    now.us += 600 * SECOND
    assert run(one, actor).reason == "identity_expired"


def test_a_token_with_names_or_too_many_actors_is_refused(
    guarded: tuple[Desk, Identities],
) -> None:
    """Ids are opaque; a chain is no deeper than one made here."""
    _, known = guarded
    refused("token_claims", known.authenticate, signed(sub="jo@example.com"))
    act: dict[str, Any] = {"sub": "a"}
    for name in "bcde":
        act = {"sub": name, "act": act}
    refused("delegation_too_deep", known.authenticate, signed(act=act))
    refused("token_malformed", Identities().authenticate, signed())
    refused("key_unknown", Identities().authenticate, "gov_000000000000_x")


def test_what_is_remembered_has_an_end(
    guarded: tuple[Desk, Identities], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many tokens fill no memory; the oldest must come again."""
    monkeypatch.setattr(identities_module, "KNOWN", 2)
    one, known = guarded
    every = [known.authenticate(signed(jti=f"t-{n}", scope="pay")) for n in range(3)]
    reasons = [run(one, principal.actor()).reason for principal in every]
    assert reasons[0] == "identity_unknown"
    assert "identity_unknown" not in reasons[1:]


def test_a_contract_that_demands_an_authorizer_needs_one(
    desk: Make,
) -> None:
    """Without one nobody is authenticated, whatever the actor says."""
    one = desk(contract_yaml("pay", hardBoundary="{authenticated: true}"))
    one.governor.tool("pay")(lambda: "paid")
    actor = replace(CONTEXT.actor, credential="key:000000000000")
    assert run(one, actor).reason == "authorizer_missing"


def test_an_authorizer_that_raises_denies(desk: Make) -> None:
    """An error is an opinion, the strictest one."""
    one = desk(contract_yaml("pay"), Controls(authorizer=lambda *_: 1 / 0))  # type: ignore[arg-type]  # wrong on purpose
    one.governor.tool("pay")(lambda: "paid")
    assert run(one, CONTEXT.actor).reason == "control_failed"


def test_a_file_that_is_gone_denies(
    guarded: tuple[Desk, Identities], keys: AgentKeys
) -> None:
    """While nobody can tell who acts, nobody does."""
    one, known = guarded
    _, text = keys.add("agent-1", scopes=["pay"])
    actor = known.authenticate(text).actor()
    keys._path.unlink()
    assert run(one, actor).reason == "control_failed"


def gov(tmp_path: Path, *words: str) -> tuple[int, Any]:
    file = str(tmp_path / "agents.json")
    result = CliRunner().invoke(app, ["agents", *words, "--agents", file])
    return result.exit_code, result.stdout and orjson.loads(result.stdout)


def test_the_command_line_makes_lists_rotates_and_revokes(tmp_path: Path) -> None:
    """A key is shown once; the list never shows one."""
    code, made = gov(tmp_path, "add", "agent-1", "--scope", "pay", "--service", "svc")
    assert (code, made["scopes"], made["counts"]) == (0, ["pay"], True)
    code, rotated = gov(tmp_path, "rotate", "agent-1", "--overlap-hours", "0")
    assert code == 0
    code, told = gov(tmp_path, "list")
    assert [one["counts"] for one in told["keys"]] == [False, True]
    assert made["key"] not in str(told)
    assert gov(tmp_path, "revoke", rotated["id"])[0] == 0
    code, told = gov(tmp_path, "list")
    assert [one["counts"] for one in told["keys"]] == [False, False]
    assert gov(tmp_path, "revoke", "agent-9")[0] == 2
    assert gov(tmp_path, "add", "no id")[0] == 2
    (tmp_path / "agents.json").write_text("{}")
    assert gov(tmp_path, "list")[0] == 3


def test_the_command_line_prints_for_people(tmp_path: Path) -> None:
    """A table, and the key on a line of its own."""
    file = str(tmp_path / "agents.json")
    runner = CliRunner()
    added = runner.invoke(app, ["agents", "add", "a-1", "--no-json", "--agents", file])
    assert added.stdout.startswith("gov_")
    assert "shown this once" in added.stdout
    shown = runner.invoke(app, ["agents", "list", "--no-json", "--agents", file])
    assert "a-1" in shown.stdout
