"""What gates say of counts: a confidence bound has to clear the target. Pure.

Too little data, none, or data that makes no sense is hold, never pass. Nothing here
reads a clock or a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum

from openfeature_gov_rollout import bounds
from openfeature_gov_rollout.gates import LEVEL, Count, Gate


class Answer(StrEnum):
    """Name what a gate says: go on, stay, go back."""

    PASS = "pass"  # noqa: S105 - not a password
    HOLD = "hold"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class GateResult:
    """Hold what one gate says, and what it says that of.

    *bound* is the confidence bound on the side of the target, None where there is
    none. *missing* is how many further clean samples a hold needs, None if no number
    of them helps or none are needed.
    """

    metric: str
    kind: str
    answer: Answer
    value: Decimal | None
    bound: Decimal | None
    target: Decimal
    samples: int
    missing: int | None
    sentence: str


@dataclass(frozen=True, slots=True)
class StageResult:
    """Hold what the gates of a stage say together: the strictest of their answers.

    *paused* says that it holds because of a signal, which may pass by itself.
    """

    answer: Answer
    results: tuple[GateResult, ...]
    paused: bool
    sentence: str


def judge_all(
    gates: Iterable[Gate],
    counts: Mapping[str, Count | None],
    error_level: Decimal | float = LEVEL,
) -> StageResult:
    """Return what *gates* say together of *counts*, which are found by metric.

    *error_level* bounds the probability that a stage passes though a metric misses its
    target. It is split evenly over the evidence gates (Bonferroni; Dunn 1961,
    "Multiple comparisons among means", J. Am. Stat. Assoc. 56, 52-64), so that all the
    bounds hold at once: as they are read, and as any one of them can fail the stage.
    (For passing alone, which takes all of them, no split would be needed: Berger 1982,
    "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24,
    295-300.) A stage without evidence gates holds: nothing could prove anything.

    Raises:
        ValueError: for an error level that is not between 0 and 1.

    """
    asked = tuple(gates)
    proofs = sum(gate.kind == "evidence" for gate in asked)
    alpha = float(error_level) / max(proofs, 1)
    results = tuple(judge(gate, counts.get(gate.metric), alpha) for gate in asked)
    failed = [one for one in results if one.answer is Answer.FAIL]
    held = [one for one in results if one.answer is Answer.HOLD]
    paused = not failed and any(one.kind == "signal" for one in held)
    if failed:
        return StageResult(Answer.FAIL, results, paused, _told("fails", failed))
    if held:
        return StageResult(Answer.HOLD, results, paused, _told("holds", held))
    if not proofs:
        said = "holds: it has no evidence gate, so nothing can be proven"
        return StageResult(Answer.HOLD, results, paused, said)
    return StageResult(
        Answer.PASS, results, paused, f"passes: {proofs} of {proofs} proven"
    )


def judge(gate: Gate, count: Count | None, alpha: float = float(LEVEL)) -> GateResult:
    """Return what *gate* says of *count*; *alpha* is the error level of this gate.

    An evidence gate passes when its bound reaches the target, by its rule. It fails
    when the other bound, always the anytime-valid one, shows that the target is missed.

    Raises:
        ValueError: for an error level that is not between 0 and 1.

    """
    if not 0 < alpha < 1:
        raise ValueError(f"the error level is {alpha}; it must lie between 0 and 1")
    if count is None or not count.sound or not count.trials:
        return _unknown(gate, count, alpha)
    if gate.kind == "guardrail":
        return _guardrail(gate, count)
    if gate.kind == "signal":
        return _signal(gate, count)
    return _evidence(gate, count, alpha)


def clean_samples(gate: Gate, alpha: float = float(LEVEL)) -> int | None:
    """Return after how many samples *gate* passes if all of them are clean.

    None when a fixed sample is too small for its target, so that it never can.
    """
    if gate.kind != "evidence":
        return gate.minimum_samples
    target, size = _floor(gate), gate.sample_size
    if size is not None:
        return size if bounds.exact(size, size, target, alpha) else None
    fewest = bounds.missing(bounds.anytime, 0, 0, target, alpha)
    return None if fewest is None else max(fewest, gate.minimum_samples)


def _unknown(gate: Gate, count: Count | None, alpha: float) -> GateResult:
    malformed = count is not None and not count.sound
    why = "the data make no sense" if malformed else "there are no data"
    fewest = clean_samples(gate, alpha)
    said = f"{gate.metric}: {why}, so it holds; {_asked(gate)}{_needs(fewest)}"
    return _result(gate, Answer.HOLD, None, missing=fewest, sentence=said)


def _guardrail(gate: Gate, count: Count) -> GateResult:
    events = _bad(gate, count)
    if events:
        said = f"{gate.metric}: {_plural(events, 'event')} in {_samples(count)}"
        said += "; a guardrail tolerates none"
        return _result(gate, Answer.FAIL, count, sentence=said)
    more = gate.minimum_samples - count.trials
    said = f"{gate.metric}: no event in {_samples(count)}"
    if more > 0:
        said += _needs(more)
        return _result(gate, Answer.HOLD, count, missing=more, sentence=said)
    return _result(gate, Answer.PASS, count, sentence=said)


def _signal(gate: Gate, count: Count) -> GateResult:
    line = gate.target * count.trials
    low = gate.at_least is not None
    off = count.successes < line if low else count.successes > line
    more = max(gate.minimum_samples - count.trials, 0)
    said = f"{_stated(gate, count)}; {_asked(gate)}"
    if off or more:
        said += _needs(more) if more else ": paused until it is"
        return _result(gate, Answer.HOLD, count, missing=more or None, sentence=said)
    return _result(gate, Answer.PASS, count, sentence=said)


def _evidence(gate: Gate, count: Count, alpha: float) -> GateResult:
    good, target = count.trials - _bad(gate, count), _floor(gate)
    # INVARIANT: whoever is watched at every moment is failed by what allows that.
    if bounds.anytime(count.trials - good, count.trials, 1 - target, alpha):
        worst = _facing(gate, bounds.STEPS - _lower(gate, count, alpha, bad=True))
        said = f"{_stated(gate, count)}, bound {_share(worst)}: misses {_goal(gate)}"
        return _result(gate, Answer.FAIL, count, bound=worst, sentence=said)
    size = gate.sample_size
    if size is not None and count.trials != size:
        return _waiting(gate, count, size, alpha)
    bound = _facing(gate, _lower(gate, count, alpha))
    stated = f"{_stated(gate, count)}, bound {_share(bound)}"
    more = max(gate.minimum_samples - count.trials, 0)
    off = bound < gate.target if gate.at_least is not None else bound > gate.target
    if not off and not more:
        said = f"{stated}: clears {_goal(gate)}"
        return _result(gate, Answer.PASS, count, bound=bound, sentence=said)
    if size is not None:
        said = f"{stated}: its one look did not clear {_goal(gate)}"
        return _result(gate, Answer.HOLD, count, bound=bound, sentence=said)
    fewest = bounds.missing(bounds.anytime, good, count.trials, target, alpha)
    needed = None if fewest is None else max(fewest, more)
    said = f"{stated}: has not cleared {_goal(gate)}{_needs(needed)}"
    return _result(gate, Answer.HOLD, count, bound=bound, missing=needed, sentence=said)


def _waiting(gate: Gate, count: Count, size: int, alpha: float) -> GateResult:
    """Return the hold of a fixed sample that is not exactly of its *size*."""
    said = f"{_stated(gate, count)}; the one look at {_goal(gate)} is at {size} samples"
    more = size - count.trials
    if more < 0:
        said += f", these are {count.trials}: count the first {size}"
        return _result(gate, Answer.HOLD, count, sentence=said)
    if not bounds.exact(size - _bad(gate, count), size, _floor(gate), alpha):
        said += ", which it can no longer clear"
        return _result(gate, Answer.HOLD, count, sentence=said)
    said += _needs(more)
    return _result(gate, Answer.HOLD, count, missing=more, sentence=said)


def _result(
    gate: Gate,
    answer: Answer,
    count: Count | None,
    *,
    bound: Decimal | None = None,
    missing: int | None = None,
    sentence: str,
) -> GateResult:
    value = None if count is None else _value(gate, count)
    samples = 0 if count is None else count.trials
    return GateResult(
        gate.metric,
        gate.kind,
        answer,
        value,
        bound,
        gate.target,
        samples,
        missing,
        sentence,
    )


def _bad(gate: Gate, count: Count) -> int:
    if gate.at_most is not None:
        return count.successes
    return count.trials - count.successes


def _floor(gate: Gate) -> float:
    """Return the target as the least share of what is good."""
    return float(gate.target if gate.at_least is not None else 1 - gate.target)


def _lower(gate: Gate, count: Count, alpha: float, *, bad: bool = False) -> int:
    """Return the lower bound of the share of what is good, or *bad*, in millionths."""
    part = _bad(gate, count) if bad else count.trials - _bad(gate, count)
    exact = gate.rule == "fixed" and not bad and count.trials == gate.sample_size
    rule = bounds.exact if exact else bounds.anytime
    return bounds.lower(rule, part, count.trials, alpha)


def _facing(gate: Gate, good: int) -> Decimal:
    """Return a bound of the share of what is good as one of the metric."""
    share = Decimal(good) / bounds.STEPS
    return share if gate.at_least is not None else 1 - share


def _value(gate: Gate, count: Count) -> Decimal:
    """Return the metric in millionths, rounded to the side that is worse for it."""
    worse = ROUND_FLOOR if gate.at_least is not None else ROUND_CEILING
    share = Decimal(count.successes) / count.trials
    return share.quantize(Decimal("0.000001"), rounding=worse)


def _share(value: Decimal) -> str:
    """Return *value*, in millionths, in per cent."""
    return f"{(value * 100).normalize():f} %"


def _goal(gate: Gate) -> str:
    return _share(gate.target)


def _asked(gate: Gate) -> str:
    side = "at least" if gate.at_least is not None else "at most"
    return f"asked for {side} {_goal(gate)}"


def _stated(gate: Gate, count: Count) -> str:
    return f"{gate.metric}: {_share(_value(gate, count))} of {_samples(count)}"


def _samples(count: Count) -> str:
    return _plural(count.trials, "sample")


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _needs(more: int | None) -> str:
    if more is None:
        return "; clean samples alone will not do"
    return f"; {_plural(more, 'more clean sample')} needed"


def _told(verb: str, results: Iterable[GateResult]) -> str:
    return f"{verb}: " + "; ".join(one.sentence for one in results)
