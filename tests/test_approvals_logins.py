"""Signed tokens of an issuer: they say who somebody is, and only narrow the rest."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.logins import load
from openfeature_gov.approvals.people import Reviewer, objection
from openfeature_gov.approvals.states import State
from openfeature_gov.errors import IdentityError, InvalidContractError
from tests.properties.test_approvals import request as asked
from tests.serving import BINDING, Office, served
from tests.test_cli_serving import gov
from tests.test_identity_tokens import AUDIENCE, ED, ISSUER, KEYS, OTHER
from tests.test_identity_tokens import signed as signed_by

RULES = f"""\
reviewerLogin:
  issuer: {ISSUER}
  audience: {AUDIENCE}
  keys: keys.json
"""
GROUPS = """\
  groups:
    claim: groups
    names: {idp-support: support, idp-leads: leads}
"""
PEOPLE = """\
reviewers:
  - {subject: bob, groups: [support], tokenSubject: idp|7}
  - {subject: cy, groups: [support]}
"""


def signed(subject: str = "idp|7", **claims: Any) -> str:
    """Return a token of *subject* that is good now."""
    now = int(time.time())
    times = {"iat": now - 5, "exp": now + 600, "sub": subject}
    key = claims.pop("key", ED)
    return signed_by({**times, **claims}, key=key)


def written(folder: Path, rules: str = RULES, people: str = PEOPLE) -> Path:
    for name, text in (
        ("login.yaml", rules),
        ("reviewers.yaml", people),
        ("keys.json", json.dumps(KEYS)),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    return folder / "login.yaml"


def test_a_token_says_who_and_the_file_who_reviews(tmp_path: Path) -> None:
    """By the name that the file has for it alone: no subject, no alias, no OS user."""
    path = written(tmp_path)
    people = ReviewerDirectory(tmp_path / "reviewers.yaml")
    login = load(path, people)
    bob = login(signed())
    assert bob == Reviewer("bob", frozenset({"support"}), "signed")
    for subject in ("bob", "cy", "idp|8", "IDP|7"):
        assert login(signed(subject)) is None
    now = int(time.time())
    for token in (
        signed(key=OTHER),
        signed(aud="others"),
        signed(iss="https://evil.example"),
        signed(exp=now - 60, iat=now - 120),
        signed()[:-2],
        "",
    ):
        assert login(token) is None
    written(tmp_path, people="reviewers: [{subject: cy, groups: [support]}]\n")
    assert login(signed()) is None
    assert objection(asked(), bob, people) == "reviewer_unknown"


def test_what_a_token_says_about_groups_only_narrows(tmp_path: Path) -> None:
    """Named one by one; without the claim one acts for no group."""
    path = written(tmp_path, RULES + GROUPS)
    people = ReviewerDirectory(tmp_path / "reviewers.yaml")
    login = load(path, people)
    for groups, why in (
        (["idp-support", "x"], None),
        (["idp-leads"], "reviewer_not_asked"),
        (["support"], "reviewer_not_asked"),
        ([7], "reviewer_not_asked"),
        (None, "reviewer_not_asked"),
    ):
        found = login(signed(groups=groups))
        assert found is not None
        assert objection(asked(), found, people) == why
    leads = login(signed(groups=["idp-leads"]))
    assert leads is not None
    wider = asked(group="leads")
    assert objection(wider, leads, people) == "reviewer_not_asked"


def test_a_delegated_token_is_nobodys(tmp_path: Path) -> None:
    """An agent that acts for a reviewer holds one, and is not the reviewer."""
    login = load(written(tmp_path), ReviewerDirectory(tmp_path / "reviewers.yaml"))
    assert login(signed()) is not None
    assert login(signed(act={"sub": "agent-1"})) is None
    assert login(signed(act={"sub": "agent-1", "act": {"sub": "agent-2"}})) is None


REFUSED: dict[str, tuple[str, str]] = {
    "other key": (RULES + "x: 1\n", "expected one document"),
    "unknown": (RULES + "  realm: x\n", "reviewerLogin.realm"),
    "no audience": (RULES.replace(f"  audience: {AUDIENCE}\n", ""), "audience"),
    "shared secret": (RULES + "  algorithms: [HS256]\n", "algorithms"),
    "none": (RULES + "  algorithms: [none]\n", "algorithms"),
    "no algorithm": (RULES + "  algorithms: []\n", "algorithms"),
    "plain http": (RULES.replace("keys.json", "http://login.example/k"), "use https"),
    "no names": (RULES + "  groups: {claim: groups, names: {}}\n", "names"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_rules_that_are_not_safe_are_refused(tmp_path: Path, which: str) -> None:
    """Before anybody logs in."""
    rules, told = REFUSED[which]
    path = written(tmp_path, rules)
    with pytest.raises((InvalidContractError, IdentityError), match=told):
        load(path, ReviewerDirectory(tmp_path / "reviewers.yaml"))


@pytest.mark.parametrize("name", ["login.yaml", "keys.json"])
def test_files_that_others_may_write_are_refused(tmp_path: Path, name: str) -> None:
    """Whoever writes them is whoever they like."""
    path = written(tmp_path)
    (tmp_path / name).chmod(0o666)
    with pytest.raises(InvalidContractError, match="chmod go-w"):
        load(path, ReviewerDirectory(tmp_path / "reviewers.yaml"))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Provide a served office that knows the issuer."""
    with served(tmp_path, login=lambda people: load(written(tmp_path), people)) as one:
        one.file.write_text(PEOPLE)
        yield one


def test_a_signed_token_answers(office: Office) -> None:
    """By the API and in the inbox; the record says how."""
    one, two = office.put(), office.put()
    known = {"Authorization": f"Bearer {signed()}"}
    with httpx.Client(base_url=office.url, timeout=30, follow_redirects=True) as client:
        path = f"/approvals/{one.id}/approve"
        answer = client.post(path, json={"seen": BINDING}, headers=known)
        assert answer.json()["reviewer"] == "bob"
        odd = {"Authorization": f"Bearer {signed('idp|8')}"}
        assert client.get("/approvals", headers=odd).status_code == 401
        page = client.post("/login", data={"token": signed()})
        assert "1 waiting" in page.text
        assert client.get(f"/inbox/{two.id}").status_code == 200
        # Whoever is taken out is out at once.
        office.file.write_text("reviewers: [{subject: cy, groups: [support]}]\n")
        assert client.get("/inbox").status_code == 401
    assert office.request(one).state is State.APPROVED
    assert office.answers()[0]["way"] == "signed"


def test_a_session_ends_with_its_token(office: Office) -> None:
    """However fresh the cookie is."""
    now = int(time.time())
    token = signed(iat=now - 100, exp=now - 27)
    with httpx.Client(base_url=office.url, timeout=30, follow_redirects=True) as client:
        assert "0 waiting" in client.post("/login", data={"token": token}).text
        end = time.monotonic() + 60
        while client.get("/inbox").status_code == 200 and time.monotonic() < end:
            time.sleep(0.1)
        assert client.get("/inbox").status_code == 401


def test_gov_serve_takes_the_file(tmp_path: Path) -> None:
    """And says with exit 3 what is wrong with it."""
    office = Office(tmp_path)
    path = written(tmp_path)
    office.put()
    options = ("--records", office.records, "--reviewers", tmp_path / "reviewers.yaml")
    command = gov(*options, "--login", path, "--port", "0")
    with (
        closing(office.store),
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process,
    ):
        try:
            assert process.stderr is not None
            found = re.search(r"http://\S+/", process.stderr.readline())
            assert found is not None
            known = {"Authorization": f"Bearer {signed()}"}
            listed = httpx.get(f"{found[0]}approvals", headers=known, timeout=30)
            assert len(listed.json()["approvals"]) == 1
        finally:
            process.kill()
    (tmp_path / "keys.json").write_text("{}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "keys_unavailable" in done.stderr
