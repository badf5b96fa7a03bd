"""The API under generated requests, good and bad: it keeps to its description."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.serving import Office, served, token

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not there")
rejecting = pytest.importorskip(
    "schemathesis.specs.openapi.checks"
).negative_data_rejection
EXAMPLES = 40
"""For each operation and each kind of request."""
KINDS = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Provide a served office with requests that wait."""
    with served(tmp_path) as one:
        # Generated paths find this one.
        one.put(id="0", quorum=10**6)
        one.look(id="0", quorum=10**6)
        yield one


def _taken_back(case: Any) -> list[Any]:
    """Return the check that does not fit: a missing token was wrong, and is sent."""
    parts = case.meta.components.items()
    wrong = {where.value for where, part in parts if part.mode is KINDS[1]}
    return [rejecting] if wrong == {"header"} else []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.lower())
def test_every_answer_is_as_described(office: Office, kind: Any) -> None:
    """Never a fault of the server's, whatever is sent, with a token and without."""
    schema = schemathesis.openapi.from_url(f"{office.url}/openapi.json")
    known = {"Authorization": f"Bearer {token('bob')}"}
    asked: dict[str, int] = {}

    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=kind))
        def answered(case: Any) -> None:
            asked[case.operation.label] = asked.get(case.operation.label, 0) + 1
            case.call_and_validate(headers=known, excluded_checks=_taken_back(case))
            answer = case.call(headers={"Authorization": "Bearer nobody's"})
            assert answer.status_code in (401, 404, 405, 413)

        answered()
    assert len(asked) == 14
    assert min(asked.values()) >= EXAMPLES // 4
