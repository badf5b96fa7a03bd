"""Signed webhooks: what verifies, and what never does."""

from __future__ import annotations

import threading

import pytest

from openfeature_gov.approvals.signing import WINDOW_MS, sign, verify

SECRET = b"a secret of ours, long"
BODY = b'{"event":"requested","id":"r"}'
NOW = 1_790_000_000_000
VECTOR = (
    "t=1790000000000,"
    "v1=7183397d6b06406eb56f60266f818c80d83fa39e30605924ce8593a4aacabb83"
)


def test_the_signature_is_hmac_sha256_of_time_dot_body() -> None:
    """Computed elsewhere, with openssl: a receiver can do so too."""
    assert sign(SECRET, BODY, NOW) == VECTOR


@pytest.mark.parametrize("shift", [0, WINDOW_MS, -WINDOW_MS])
def test_a_true_one_verifies_for_five_minutes(shift: int) -> None:
    """By clocks that differ either way."""
    assert verify(SECRET, BODY, VECTOR, now_ms=NOW + shift)
    beyond = NOW + shift + (1 if shift > 0 else -1)
    assert verify(SECRET, BODY, VECTOR, now_ms=beyond) == (shift == 0)


@pytest.mark.parametrize(
    ("secret", "body", "header"),
    [
        (b"another secret of ours", BODY, VECTOR),
        (SECRET, BODY + b" ", VECTOR),
        (SECRET, BODY, VECTOR.replace("t=1790000000000", "t=1790000000001")),
        (SECRET, b"0." + BODY, VECTOR.replace("0,v1", ",v1")),
        (SECRET, BODY, VECTOR[:-1] + ("0" if VECTOR[-1] != "0" else "1")),
        (SECRET, BODY, VECTOR[:-1]),
        (SECRET, BODY, VECTOR + "0"),
        (SECRET, BODY, VECTOR + "\n"),
        (SECRET, BODY, VECTOR.replace("=1", "=01", 1)),
        (SECRET, BODY, VECTOR.replace("=1", "=\uff11", 1)),
        (SECRET, BODY, "v1=" + VECTOR.partition("v1=")[2]),
        (SECRET, BODY, f"t={NOW},v1="),
        (SECRET, BODY, "\udcff"),
        (SECRET, BODY, ""),
        (SECRET, BODY, None),
        (b"", BODY, VECTOR),
    ],
)
def test_a_forged_one_never_verifies(
    secret: bytes, body: bytes, header: str | None
) -> None:
    """Whatever of it was changed."""
    assert verify(SECRET, BODY, VECTOR, now_ms=NOW)
    assert not verify(secret, body, header, now_ms=NOW)


def test_a_copy_is_refused() -> None:
    """The same notice sent again has another time, and verifies."""
    seen: dict[str, tuple[int]] = {}
    assert verify(SECRET, BODY, VECTOR, now_ms=NOW, seen=seen)
    for later in (0, 1, WINDOW_MS, WINDOW_MS + 1):
        assert not verify(SECRET, BODY, VECTOR, now_ms=NOW + later, seen=seen)
    again = sign(SECRET, BODY, NOW + 1)
    assert verify(SECRET, BODY, again, now_ms=NOW + 1, seen=seen)
    assert len(seen) == 2
    last = NOW + 2 * WINDOW_MS
    assert verify(SECRET, BODY, sign(SECRET, BODY, last), now_ms=last, seen=seen)
    assert len(seen) == 1


def test_what_is_forged_is_not_remembered() -> None:
    """Nobody fills the memory, or uses up a signature that is not theirs."""
    seen: dict[str, tuple[int]] = {}
    assert not verify(SECRET, BODY + b"x", VECTOR, now_ms=NOW, seen=seen)
    assert seen == {}
    assert verify(SECRET, BODY, VECTOR, now_ms=NOW, seen=seen)


def test_of_two_copies_at_once_one_verifies() -> None:
    """Among threads."""
    for _ in range(50):
        seen: dict[str, tuple[int]] = {}
        found: list[bool] = []
        gate = threading.Barrier(4)

        def one(
            seen: dict[str, tuple[int]] = seen,
            gate: threading.Barrier = gate,
            found: list[bool] = found,
        ) -> None:
            gate.wait()
            found.append(verify(SECRET, BODY, VECTOR, now_ms=NOW, seen=seen))

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [False, False, False, True]


def test_a_short_secret_signs_nothing() -> None:
    """It could be guessed from one webhook."""
    with pytest.raises(ValueError, match="16 bytes"):
        sign(b"x" * 15, BODY, NOW)
