"""Ask a decision point over HTTP, such as Open Policy Agent: deadline, strict failure.

One POST of ``{"input": {...}}``; the answer is ``{"result": true}``, or an object with
``allow`` and perhaps ``cap`` and ``reason``. Anything else cannot tell.
"""

from __future__ import annotations

import os
import re
import time
from decimal import Decimal
from functools import cache
from typing import Any

import orjson

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails import Situation
from openfeature_gov.controls.guardrails.answers import capped, clear, fired, unknown
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.foreign import DecisionPoint
from openfeature_gov.ladder import MODES, Mode
from openfeature_gov.policies.budget import Budget, OverrunError
from openfeature_gov.policies.facts import UNREADABLE, facts_of

MOST_BYTES, CHUNK = 65_536, 4_096
_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}")
_KEYS = frozenset({"allow", "cap", "reason"})


def asked(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: DecisionPoint,
    situation: Situation,
    *,
    budget: Budget,
    token: str = "",
) -> Verdict:
    """Return what the decision point says; late, unreachable or unclear cannot tell."""
    seconds = settings.deadline_ms / 1000
    try:
        body = _body(facts_of(contract, situation))
        result = budget.run(
            lambda: _posted(settings.url, body, token, seconds), seconds
        )
    except OverrunError:
        late = settings.deadline_ms
        return unknown(rules, settings, "decision_point_too_slow", deadlineMs=late)
    except Exception as error:  # noqa: BLE001 - an error is the strictest opinion
        said = type(error).__name__
        return unknown(rules, settings, "decision_point_failed", error=said)
    return _verdict(rules, settings, result)


def _body(facts: dict[str, Any]) -> bytes:
    # What a foreign language makes of a text where a number is due, nobody knows.
    if UNREADABLE in facts.values():
        raise ValueError(UNREADABLE)
    return orjson.dumps({"input": facts}, default=_text)


def _text(value: object) -> str:
    if type(value) is Decimal:
        return f"{value}"
    raise TypeError(type(value).__name__)


@cache
def _pool(_: int) -> Any:
    """Return the connections of one process: a fork must not share an answer."""
    import urllib3  # noqa: PLC0415 - only where a decision point is configured

    return urllib3.PoolManager(num_pools=8, maxsize=16, retries=False)


def _posted(url: str, body: bytes, token: str, seconds: float) -> Any:
    """Return the ``result`` of the answer; raises for anything but a clear one."""
    until = time.monotonic() + seconds
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    response = _pool(os.getpid()).request(
        "POST",
        url,
        body=body,
        headers=headers,
        timeout=seconds,
        redirect=False,
        preload_content=False,
    )
    try:
        answer = orjson.loads(_read(response, until))
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return answer["result"]


def _read(response: Any, until: float) -> bytes:
    if response.status != 200:
        raise ValueError(f"status {response.status}")
    read = b""
    for chunk in response.stream(CHUNK):
        read += chunk
        if len(read) > MOST_BYTES or time.monotonic() > until:
            raise ValueError("too long")
    return read


def _verdict(
    rules: GovernanceContract, settings: DecisionPoint, result: Any
) -> Verdict:
    if result is True or result is False:
        result = {"allow": result}
    if not isinstance(result, dict) or not result.keys() <= _KEYS:
        return unknown(rules, settings, "decision_point_unclear")
    allow, cap = result.get("allow"), MODES.get(str(result.get("cap", "autonomous")))
    reason = result.get("reason", "policy_refused")
    if type(allow) is not bool or cap is None or not _is_code(reason):
        return unknown(rules, settings, "decision_point_unclear")
    if not allow:
        return fired(rules, settings, str(reason))
    if cap is Mode.AUTONOMOUS:
        return clear(settings)
    return capped(rules, settings, cap, str(reason))


def _is_code(reason: object) -> bool:
    return type(reason) is str and _REASON.fullmatch(reason) is not None
