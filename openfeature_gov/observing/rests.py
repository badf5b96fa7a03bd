"""Which tools rest from their errors: the memory of circuit breakers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.breaker import begun, ended
from openfeature_gov.controls.guardrails.situation import Breaker
from openfeature_gov.governance.guardrails import ToolErrors
from openfeature_gov.observing.table import Table

DAY_US = 86_400_000_000
KEYS = 4_096
"""How many pairs of tool and target are remembered at most."""
CLOSED = Breaker()
Key = tuple[str, ...]


class Rests:
    """Remember breakers by tool and target. Not safe to share."""

    def __init__(self) -> None:
        self._kept: Table[Key, Breaker] = Table(KEYS, 2 * DAY_US)

    def state(
        self, one: ToolErrors, contract: ActionContract, own_us: int | None, now: int
    ) -> Breaker | None:
        """Return the breaker; None when nobody can tell.

        *own_us* is when this very call began, if it did: it may be the probe itself.
        """
        key = _key(one, contract)
        if not self._kept.room(key, now):
            return None
        kept = self._kept.get(key) or CLOSED
        mine = own_us is not None and kept.probing_us == own_us
        return kept._replace(probing_us=None) if mine else kept

    def begin(
        self, listed: Iterable[ToolErrors], contract: ActionContract, now: int
    ) -> dict[Key, ToolErrors]:
        """Note that a call begins; return the breakers that its end is for."""
        concerned = {_key(one, contract): one for one in listed}
        for key, one in concerned.items():
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.put(key, begun(kept, one, now), now)
        return concerned

    def end(
        self,
        concerned: Mapping[Key, ToolErrors],
        began_us: int,
        now: int,
        *,
        ok: bool | None,
    ) -> None:
        """Note how a call that began at *began_us* ended; *ok* None for not run."""
        for key, one in concerned.items():
            before = self._kept.get(key)
            after = ended(before or CLOSED, one, began_us, now, ok=ok)
            if after != CLOSED or before is not None:
                self._kept.put(key, after, now)


def _key(one: ToolErrors, contract: ActionContract) -> Key:
    return (contract.tool, one.name, contract.target_system)
