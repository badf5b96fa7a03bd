"""The directory of reviewers: strict, read anew, and nobody's while it is broken."""

from __future__ import annotations

import logging
from hashlib import sha256
from pathlib import Path

import pytest

from openfeature_gov.approvals import steps, turns
from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.people import Reviewer, objection
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.approvals.steps import Denied
from openfeature_gov.errors import InvalidContractError
from tests.properties.test_approvals import NOW
from tests.properties.test_approvals import request as asked

TOKEN = "t-0123456789"
DIGEST = sha256(TOKEN.encode()).hexdigest()
BOB = f"""\
  - subject: bob
    aliases: [bob@example.com, Robert]
    groups: [support, leads]
    osUser: bobby
    tokenSha256: {DIGEST}
"""
CY = """\
  - subject: cy
    groups: [support]
    osUser: cy
"""
TEXT = f"reviewers:\n{BOB}{CY}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Provide a file with two reviewers."""
    file = tmp_path / "reviewers.yaml"
    written(file, TEXT)
    return file


def written(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o644)


def test_a_person_is_known_by_every_name(path: Path) -> None:
    """Subject, aliases and operating-system user; anyone else is nobody."""
    people = ReviewerDirectory(path)
    names = frozenset({"bob", "bob@example.com", "Robert", "bobby"})
    for name in names:
        assert people.aliases(name) == names
        assert people.groups(name) == {"support", "leads"}
    for name in ("", "mallory", "BOB", "support"):
        assert people.aliases(name) == frozenset()
        assert people.groups(name) == frozenset()


def test_a_caller_is_found_by_token_or_login(path: Path) -> None:
    """By the operating-system user that the file names, never by the subject."""
    people = ReviewerDirectory(path)
    groups = frozenset({"support", "leads"})
    assert people.by_token(TOKEN) == Reviewer("bob", groups, "token")
    assert people.by_os_user("bobby") == Reviewer("bob", groups, "cli")
    for token in ("", "t", DIGEST, "\udcff", TOKEN + " "):
        assert people.by_token(token) is None
    for user in ("", "bob", "Bobby", "root"):
        assert people.by_os_user(user) is None


REFUSED = {
    "": (1, "expected one document"),
    "reviewers: {}": (1, "reviewers: expected a list"),
    "people: []": (1, "reviewers: expected a list"),
    "- bob": (1, "reviewers: expected a list"),
    "reviewers: []\nowner: me": (2, "owner: unknown key"),
    "reviewers: []\n---\nreviewers: []": (1, "expected one document"),
    "reviewers: [bob]": (1, "reviewers[0]: expected a mapping"),
    "reviewers:\n  - groups: [a]": (2, "reviewers[0].subject: missing"),
    "reviewers:\n  - subject: b\n    role: x": (3, "reviewers[0].role: unknown key"),
    "reviewers:\n  - subject: b\n    osuser: x": (3, "reviewers[0].osuser: unknown"),
    "reviewers:\n  - subject: b\n    os_user: x": (3, "reviewers[0].os_user: unknown"),
    "reviewers:\n  - subject: 12": (2, "reviewers[0].subject: "),
    "reviewers:\n  - subject: ''": (2, "reviewers[0].subject: "),
    'reviewers:\n  - subject: " b"': (2, "reviewers[0].subject: must be one printable"),
    'reviewers:\n  - subject: "b\\u200b"': (2, "reviewers[0].subject: must be one pri"),
    "reviewers:\n  - subject: b\n    groups: a": (3, "groups: expected a list"),
    "reviewers:\n  - subject: b\n    groups: [1]": (3, "reviewers[0].groups[0]: "),
    "reviewers:\n  - subject: b\n    subject: c": (3, "duplicate key, first on line 2"),
    "reviewers:\n  - subject: b\n    tokenSha256: s3cr3t": (3, "must be 64 lower"),
    "reviewers: &a [*a]": (1, "aliases are not accepted"),
    f"{TEXT}  - subject: bob": (10, "reviewers[2].subject: duplicate, of the reviewer"),
    f"{TEXT}  - subject: ROBERT": (10, "reviewers[2].subject: duplicate"),
    f"{TEXT}  - subject: \uff42ob": (10, "reviewers[2].subject: duplicate"),
    f"{TEXT}  - subject: d\n    aliases: [x, cy]": (11, "aliases[1]: duplicate"),
    f"{TEXT}  - subject: d\n    osUser: bobby": (11, "osUser: duplicate"),
    f"{TEXT}  - subject: d\n    tokenSha256: {DIGEST}": (11, "tokenSha256: duplicate"),
    f"{TEXT}  - subject: Leads": (10, "subject: is the name of a group too"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_file_is_refused_whole(path: Path, text: str) -> None:
    """With file, line and key; a token's digest is not repeated."""
    written(path, text)
    line, problem = REFUSED[text]
    with pytest.raises(InvalidContractError) as refused:
        ReviewerDirectory(path)
    assert f"{path}:{line}: " in str(refused.value)
    assert problem in str(refused.value)
    assert DIGEST not in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


def test_a_file_that_is_no_text_is_refused(path: Path) -> None:
    """It is not guessed what it could mean."""
    path.write_bytes(b"reviewers: []\xff")
    with pytest.raises(InvalidContractError, match="not UTF-8 at byte 13"):
        ReviewerDirectory(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        ReviewerDirectory(path)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    """Whoever writes it decides who reviews."""
    people = ReviewerDirectory(path)
    path.chmod(mode)
    with pytest.raises(InvalidContractError, match="chmod go-w"):
        ReviewerDirectory(path)
    assert people.groups("bob") == frozenset()


def test_a_reviewer_who_was_removed_has_no_say(path: Path) -> None:
    """Not with a token, not by login, not as somebody who was recognised before."""
    people = ReviewerDirectory(path)
    bob = people.by_token(TOKEN)
    assert bob is not None
    named = asked(group="support", escalation=("bob",), level=1)
    assert objection(named, bob, people) is None
    written(path, f"reviewers:\n{CY}")
    assert people.by_token(TOKEN) is None
    assert people.by_os_user("bobby") is None
    assert objection(named, bob, people) == "reviewer_unknown"
    written(path, TEXT)
    assert objection(named, bob, people) is None


def test_a_reviewer_who_left_the_group_is_not_asked(path: Path) -> None:
    """The groups of an older login do not count."""
    people = ReviewerDirectory(path)
    cy = people.by_os_user("cy")
    assert cy is not None
    written(path, TEXT.replace("groups: [support]", "groups: [other]"))
    assert objection(asked(), cy, people) == "reviewer_not_asked"


def test_the_vote_of_who_was_removed_does_not_count(path: Path) -> None:
    """A quorum needs people who may still answer when it is reached."""
    people = ReviewerDirectory(path)
    bob, cy = people.by_os_user("bobby"), people.by_os_user("cy")
    assert bob is not None
    assert cy is not None
    first = steps.approve(asked(quorum=2), bob, people, now_us=NOW, seen="b")
    assert isinstance(first, Request)
    written(path, f"reviewers:\n{CY}")
    second = steps.approve(first, cy, people, now_us=NOW, seen="b")
    assert isinstance(second, Request)
    assert second.state is State.PENDING
    written(path, TEXT)
    both = steps.approve(first, cy, people, now_us=NOW, seen="b")
    assert isinstance(both, Request)
    assert both.state is State.APPROVED


@pytest.mark.parametrize("name", ["Robert", "bobby", "bob@example.com", "BOB"])
def test_nobody_approves_under_another_name(path: Path, name: str) -> None:
    """Of one's own, however it is spelled."""
    people = ReviewerDirectory(path)
    bob = people.by_os_user("bobby")
    assert bob is not None
    own = asked(requesters=("user-1", name))
    step = steps.approve(own, bob, people, now_us=NOW, seen="b")
    assert step == Denied("self_approval", State.PENDING)


def test_while_the_file_is_broken_nobody_may_answer(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, and goes on when the file is well again."""
    people = ReviewerDirectory(path)
    bob = people.by_os_user("bobby")
    assert bob is not None
    for broken in ("reviewers: [bob]", None, TEXT + "  - subject: bob\n"):
        caplog.clear()
        if broken is None:
            path.unlink()
        else:
            written(path, broken)
        for _ in range(3):
            assert people.by_token(TOKEN) is None
            assert people.by_os_user("bobby") is None
            assert objection(asked(), bob, people) == "reviewer_unknown"
        (told,) = caplog.records
        assert told.levelno == logging.ERROR
        assert str(path) in told.getMessage()
        written(path, TEXT)
        assert objection(asked(), bob, people) is None


@pytest.mark.parametrize("name", ["bob@example.com", "bobby", "bob"])
def test_who_is_asked_by_another_name_is_asked(path: Path, name: str) -> None:
    """By the contract, or by whoever passes it on: else nobody could answer it."""
    people = ReviewerDirectory(path)
    cy = Reviewer("cy", way="cli")
    one = asked(group="support", reassign_to=("leads",))
    step = turns.reassign(one, cy, people, now_us=NOW, to=name, reason="hers")
    assert isinstance(step, Request)
    nobody_else = asked(group="sales", passed=(name,), turn=name)
    assert objection(nobody_else, Reviewer("bob", way="cli"), people) is None
    assert objection(nobody_else, cy, people) == "reviewer_not_asked"


def test_the_digest_of_nothing_is_refused(path: Path) -> None:
    """Whoever sends no token at all would be that reviewer."""
    nothing = sha256(b"").hexdigest()
    written(path, f"reviewers:\n{BOB.replace(DIGEST, nothing)}")
    with pytest.raises(InvalidContractError, match="tokenSha256: is of an empty token"):
        ReviewerDirectory(path)
