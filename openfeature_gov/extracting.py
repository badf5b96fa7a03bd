"""What a call really is, derived from its arguments by the developer's extractors.

What they cannot derive is a fault, and a fault caps at off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from math import isfinite
from typing import Any, TypeVar

from openfeature_gov.contracts import Facts, is_opaque
from openfeature_gov.decisions import need_of
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.envelopes import MOST
from openfeature_gov.ladder import EFFORT, SEVERITY, Reversibility, RiskClass

MAX_RECORDS = 2**53 - 1
"""The largest count that a record can hold exactly in any language."""

Extractor = Callable[[Mapping[str, Any]], Any]
_Word = TypeVar("_Word", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractors:
    """Derive facts from the arguments; each takes the bound arguments as a mapping.

    *risk* and *reversibility* return a word of theirs and can only tighten what the
    governance contract says; *amount* returns money in major units as int, Decimal or
    finite float, and is given only for tools that move money; *records* returns the
    number of records touched, *record* the target's id. *estimate* returns what the
    call will cost to run, at most: a number of *currency*, or a mapping from units
    (``USD``, ``tokens``) to numbers. For guardrails, *discount* returns percent and
    *account_value* major units, both like an amount; *segment* and *sources* return
    ids, and *created* when the record came to be, with a time zone.
    """

    risk: Extractor | None = None
    reversibility: Extractor | None = None
    amount: Extractor | None = None
    records: Extractor | None = None
    record: Extractor | None = None
    estimate: Extractor | None = None
    discount: Extractor | None = None
    segment: Extractor | None = None
    account_value: Extractor | None = None
    sources: Extractor | None = None
    created: Extractor | None = None
    currency: str = ""
    looks: bool = field(init=False, default=False, repr=False, compare=False)
    """Whether any of them looks at the arguments."""

    def __post_init__(self) -> None:
        every = (
            *(self.risk, self.reversibility, self.amount, self.records, self.record),
            *(self.estimate, self.discount, self.segment, self.account_value),
            *(self.sources, self.created),
        )
        object.__setattr__(self, "looks", any(one is not None for one in every))


class Derivation:
    """Ask the extractors of one call; collect what they could not tell."""

    __slots__ = ("_arguments", "_extractors", "faults")

    def __init__(self, extractors: Extractors, arguments: dict[str, Any]) -> None:
        self._extractors, self._arguments = extractors, arguments
        self.faults: list[str] = []

    def classified(self, rules: GovernanceContract) -> tuple[RiskClass, Reversibility]:
        """Return the strictest class and reversibility that are stated or derived."""
        risk, undo = rules.risk_class, rules.floor
        if self._extractors.reversibility is not None:
            found = self._word(self._extractors.reversibility, Reversibility.NONE)
            undo = max(undo, found, key=EFFORT.__getitem__)
        if self._extractors.risk is not None:
            derived = self._word(self._extractors.risk, RiskClass.IRREVERSIBLE)
            risk = max(
                risk, derived, key=lambda one: (need_of(one, undo), SEVERITY[one])
            )
        return risk, undo

    def _word(self, extractor: Extractor, worst: _Word) -> _Word:
        try:
            return type(worst)(extractor(self._arguments))
        except Exception:  # noqa: BLE001 - what cannot be told is the worst
            self.faults.append("classification_unreadable")
            return worst

    def amount(self) -> Decimal | None:
        """Return the money moved, None when the tool moves none."""
        if self._extractors.amount is None:
            return None
        try:
            amount = money(self._extractors.amount(self._arguments))
        except Exception:  # noqa: BLE001 - what cannot be told is no amount
            self.faults.append("amount_unreadable")
            return None
        return amount

    def records(self) -> int | None:
        """Return the number of records touched, None when the tool does not say."""
        if self._extractors.records is None:
            return None
        try:
            count = self._extractors.records(self._arguments)
        except Exception:  # noqa: BLE001 - what cannot be told is no count
            count = None
        if type(count) is not int or not 0 <= count <= MAX_RECORDS:
            self.faults.append("records_unreadable")
            return None
        return count

    def record(self) -> tuple[str, str]:
        """Return the id of the record acted on, and its name where that is no id.

        Both are empty when the tool does not say.
        """
        if self._extractors.record is None:
            return "", ""
        try:
            name = self._extractors.record(self._arguments)
        except Exception:  # noqa: BLE001 - what cannot be told is no target
            name = None
        if not isinstance(name, str):
            self.faults.append("target_unreadable")
            return "", ""
        # What is no id may be personal data: the record then holds its digest.
        if not name or is_opaque(name):
            return name, ""
        text = name.encode("utf-8", "surrogatepass")
        return f"sha256:{sha256(text).hexdigest()}", name

    def beyond(self, known: Facts) -> Facts:
        """Return what only guardrails ask for; *known* is what the host knows."""
        asked = self._extractors
        if (
            asked.discount is asked.account_value is None
            and asked.segment is asked.sources is asked.created is None
        ):
            return known
        told = {
            "discount": self._told("discount", asked.discount, money),
            "segment": self._told("segment", asked.segment, _id),
            "account_value": self._told("account_value", asked.account_value, money),
            "sources": self._told("sources", asked.sources, _ids),
            "created_us": self._told("created", asked.created, _moment),
        }
        found = {name: value for name, value in told.items() if value is not None}
        if "account_value" in found:
            found["currency"] = asked.currency
        return replace(known, **found)

    def _told(
        self, name: str, extractor: Extractor | None, read: Callable[[Any], Any]
    ) -> Any:
        if extractor is None:
            return None
        try:
            return read(extractor(self._arguments))
        except Exception:  # noqa: BLE001 - what cannot be told is a fault
            self.faults.append(f"{name}_unreadable")
            return None


def _id(value: Any) -> str:
    if not is_opaque(value):
        raise ValueError("not an id")
    return str(value)


def _ids(value: Any) -> tuple[str, ...]:
    if type(value) not in (list, tuple, set, frozenset):
        raise ValueError("not a list of ids")
    return tuple(sorted({_id(one) for one in value}))


def _moment(value: Any) -> int:
    """Return an aware datetime as microseconds since 1970."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("not a time with a time zone")
    return (value - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def money(value: Any) -> Decimal:
    """Return *value* as an exact amount in major units.

    Text is not a number here: an extractor that trusts it converts it itself.

    Raises:
        ValueError: for text, booleans, NaN, infinities and negative amounts.

    """
    if type(value) is int or (type(value) is float and isfinite(value)):
        amount = Decimal(str(value))
    elif type(value) is Decimal and value.is_finite():
        amount = value
    else:
        raise ValueError(f"a {type(value).__name__} is not an amount")
    if amount < 0:
        raise ValueError("an amount is not negative")
    return amount


def quantities(
    extractor: Callable[[Any], Any], given: Any, currency: str
) -> dict[str, Decimal] | None:
    """Return what *extractor* says of *given* by unit, None if it cannot be read.

    A bare number counts in *currency*.
    """
    try:
        found = extractor(given)
        if not isinstance(found, Mapping):
            found = {currency: found}
        read = {unit: money(amount) for unit, amount in found.items()}
    except Exception:  # noqa: BLE001 - what cannot be told is no quantity
        return None
    sound = all(type(unit) is str and unit for unit in read)
    return read if sound and max(read.values(), default=0) <= MOST else None


def claimed(claims: Mapping[str, str], key: str, worst: _Word) -> _Word | None:
    """Return what the agent claims; an unreadable claim counts as the worst."""
    if key not in claims:
        return None
    try:
        return type(worst)(claims[key])
    except ValueError:
        return worst
