"""Webhooks of FeatBit: who signed one, what it hints at, and what is refused."""

import hmac
import json
import threading

import pytest

from openfeature.contrib.provider.featbit.management.errors import RefusedError
from openfeature.contrib.provider.featbit.management.webhooks import (
    LARGEST,
    Hint,
    Inbox,
    parse_hint,
    verify,
)

SECRET = "whsec"
BODY = b'{"events":"feature_flag.toggled","happenedAt":"2026-11-21T06:00:00Z"}'
SIGNED = "sha256=63b0324447f4488f994402e07fcae0e9d63dc38e9ea260a1e65cf3acc49f4ca0"


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


@pytest.mark.parametrize(
    ("secret", "body", "header"),
    [
        (
            "It's a Secret to Everybody",
            b"Hello, World!",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
        (SECRET, BODY, SIGNED),
    ],
)
def test_the_measured_vectors_verify(secret: str, body: bytes, header: str) -> None:
    assert verify(secret, body, header)
    assert verify(secret, body, f" {header}\r\n")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        SIGNED.removeprefix("sha256="),
        SIGNED.upper(),
        SIGNED[:-1],
        SIGNED[:-1] + "1",
        SIGNED + "0",
        "sha1=" + SIGNED,
        "sha256=é",
        "sha256=\udcff",
    ],
)
def test_another_signature_does_not_verify(header: str | None) -> None:
    assert not verify(SECRET, BODY, header)


def test_nothing_verifies_without_a_secret() -> None:
    assert not verify("", BODY, signed(BODY, ""))
    with pytest.raises(RefusedError, match="needs a secret"):
        Inbox("")


def test_another_byte_of_the_body_does_not_verify() -> None:
    assert not verify(SECRET, BODY.replace(b"06:00", b"07:00"), SIGNED)


def full(**flag: object) -> bytes:
    item = {"id": "f-1", "key": "agent.refunds", "isEnabled": "false", **flag}
    return json.dumps(
        {
            "events": "feature_flag.toggled, feature_flag.basic_info_updated",
            "operator": "Jane",
            "happenedAt": "2026-06-30T01:02:03.1234567Z",
            "environment": {"id": "e-1", "name": "Prod"},
            "data": {"kind": "feature flag", "object": item},
            "changes": ["Turn off flag: Agent: refunds"],
        }
    ).encode()


def test_the_json_template_gives_a_hint_with_booleans_as_text() -> None:
    assert parse_hint(full()) == Hint(
        events=("feature_flag.toggled", "feature_flag.basic_info_updated"),
        kind="flag",
        key="agent.refunds",
        env_id="e-1",
        operator="Jane",
        happened_ms=1782781323123,
        enabled=False,
    )


def test_the_stock_template_gives_the_same_with_event_and_real_booleans() -> None:
    body = full(isEnabled=True).replace(b'"events"', b'"event"')
    assert parse_hint(body) == parse_hint(full(isEnabled="True"))
    assert parse_hint(body).enabled is True


def test_a_segment_is_named_by_its_id() -> None:
    body = json.dumps({"data": {"kind": "segment", "object": {"id": "s-1"}}}).encode()
    hint = parse_hint(body)
    assert (hint.kind, hint.key, hint.enabled) == ("segment", "s-1", None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None, "environment": "x", "events": 5, "happenedAt": "yesterday"},
        {"data": {"kind": [], "object": {"isEnabled": "maybe", "key": 1}}},
    ],
)
def test_a_body_of_another_template_is_an_empty_hint(body: object) -> None:
    assert parse_hint(json.dumps(body).encode()) == Hint((), "", "", "", "", None, None)


@pytest.mark.parametrize("body", [b"", b"[]", b"nope", b'{"a":NaN}', b"\xff"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(RefusedError, match="webhook"):
        parse_hint(body)


def test_a_hint_holds_nothing_that_could_release_a_flag() -> None:
    names = {"variations", "rules", "fallthrough", "targetUsers", "object", "data"}
    assert not names & set(Hint._fields)


def test_a_delivery_is_taken_once() -> None:
    inbox = Inbox(SECRET)
    body = full()
    assert inbox.take(body, signed(body)).key == "agent.refunds"
    with pytest.raises(RefusedError, match="come before"):
        inbox.take(body, signed(body))
    other = full(isEnabled="true")
    assert inbox.take(other, signed(other)).enabled is True


def test_a_forged_delivery_is_refused_and_not_remembered() -> None:
    inbox = Inbox(SECRET)
    body = full()
    with pytest.raises(RefusedError, match="signature"):
        inbox.take(body, signed(body, "guessed"))
    assert inbox.take(body, signed(body)).kind == "flag"


def test_the_memory_of_deliveries_is_bounded() -> None:
    inbox = Inbox(SECRET, remembered=3)
    bodies = [full(name=str(number)) for number in range(5)]
    for body in bodies:
        inbox.take(body, signed(body))
    assert len(inbox._seen) == 3
    with pytest.raises(RefusedError, match="come before"):
        inbox.take(bodies[4], signed(bodies[4]))


def test_a_huge_body_is_refused_before_it_is_read() -> None:
    body = b" " * (LARGEST + 1)
    with pytest.raises(RefusedError, match="at most"):
        Inbox(SECRET).take(body, signed(body))


def test_of_many_threads_with_one_delivery_one_gets_it() -> None:
    inbox, body, taken = Inbox(SECRET), full(), []
    start = threading.Barrier(8)

    def deliver() -> None:
        start.wait()
        try:
            taken.append(inbox.take(body, signed(body)))
        except RefusedError:
            return

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


def test_the_secret_is_in_no_repr() -> None:
    assert SECRET not in repr(Inbox(SECRET))
