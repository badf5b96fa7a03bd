"""An account of what tasks changed in a shop that starts anew for each of them."""

from __future__ import annotations

from collections import Counter

from openfeature_gov.demo.orders import OrderStore


class Ledger:
    """Let tasks start from the *pristine* shop; add up what each changed in *store*.

    Lives as long as one run. Whoever plays the tasks calls `settle` after a task that
    wrote, and at the end. What changed without a write shows in the next account.

    *rows* counts changed rows by table, *drafts* and *hand_overs* what was left for
    people; *same* says that the fingerprint of the shop never differed.
    """

    def __init__(self, store: OrderStore, pristine: OrderStore) -> None:
        self._store, self._pristine = store, pristine
        self._baseline, self._mark = pristine.baseline(), pristine.fingerprint()
        self.rows: Counter[str] = Counter()
        self.drafts = self.hand_overs = 0
        self.same = True
        store.reset(pristine)

    def settle(self) -> None:
        """Add what changed since the last account, and put the shop back."""
        changed = self._store.changes_since(self._baseline)
        self.same &= not changed and self._store.fingerprint() == self._mark
        self.rows.update(changed)
        self.drafts += len(self._store.drafts())
        self.hand_overs += len(self._store.handovers())
        self._store.reset(self._pristine)
