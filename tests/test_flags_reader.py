"""The flag layer: every known defect of the SDK ends in a fault, never in authority."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import (
    FlagEvaluationOptions,
    FlagResolutionDetails,
    Reason,
)
from openfeature.hook import Hook
from openfeature.provider import AbstractProvider, Metadata, ProviderStatus
from openfeature.transaction_context import (
    ContextVarsTransactionContextPropagator,
)

from openfeature import api
from openfeature.contrib.provider.featbit import (
    FeatBitProvider,
    Freshness,
    Snapshot,
    authoring,
)
from openfeature_gov import Effect, FlagReader, GovernanceHook
from openfeature_gov.controls import Controls
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Decision, decide, need_of
from openfeature_gov.flags.hook import HINT, Notes, active
from openfeature_gov.flags.kinds import KINDS
from openfeature_gov.governance import parse
from tests.conftest import CONTEXT, KEYS, contract_yaml, flag_document
from tests.test_controls import CONTRACT

RULES = parse(
    contract_yaml("tool", riskClass="search", reversibility="automatic")
).contracts["tool"]


class Scripted(AbstractProvider):
    """A real provider whose answers a test chooses."""

    def __init__(self, **answers: Any) -> None:
        super().__init__()
        self.answers = {
            KEYS["modeFlag"]: "autonomous",
            KEYS["globalFlag"]: True,
            KEYS["approvalFlag"]: False,
            KEYS["fallbackFlag"]: False,
            KEYS["denylistFlag"]: [],
            **{KEYS[name]: value for name, value in answers.items()},
        }
        self.calls = 0

    def get_metadata(self) -> Metadata:
        return Metadata("scripted")

    def _answer(self, flag_key: str) -> FlagResolutionDetails[Any]:
        self.calls += 1
        value = self.answers[flag_key]
        if isinstance(value, BaseException):
            raise value
        if isinstance(value, FlagResolutionDetails):
            return value
        return FlagResolutionDetails(value=value, reason=Reason.STATIC, variant="v")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: Any = None
    ) -> FlagResolutionDetails[bool]:
        return self._answer(flag_key)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: Any = None
    ) -> FlagResolutionDetails[str]:
        return self._answer(flag_key)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: Any = None
    ) -> FlagResolutionDetails[int]:
        return self._answer(flag_key)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: Any = None
    ) -> FlagResolutionDetails[float]:
        return self._answer(flag_key)

    def resolve_object_details(
        self, flag_key: str, default_value: Any, evaluation_context: Any = None
    ) -> FlagResolutionDetails[Any]:
        return self._answer(flag_key)


class Wrapped(OpenFeatureClient):
    """A client of another class: read flag by flag through its own methods."""


def client_for(provider: AbstractProvider, *, wrapped: bool) -> OpenFeatureClient:
    api.set_provider_and_wait(provider, "governance")
    if wrapped:
        return Wrapped("governance", None)
    return api.get_client("governance")


def judged(flags: Readings) -> Decision:
    return decide(
        Controls().verdicts(CONTRACT, RULES, flags),
        need=need_of(CONTRACT.risk_class, CONTRACT.reversibility),
        listed=RULES.modes,
    )


def faults(flags: Readings) -> dict[str, str | None]:
    return {kind: reading.fault for kind, reading in flags.flags.items()}


ways = pytest.mark.parametrize("wrapped", [False, True], ids=["batch", "single"])


@ways
def test_legal_values_are_read(wrapped: bool) -> None:
    """Five legal flags give five readings without a fault, and the action runs."""
    reader = FlagReader(client_for(Scripted(), wrapped=wrapped))
    flags = reader.read(CONTRACT, RULES)
    assert faults(flags) == dict.fromkeys(kind.name for kind in KINDS)
    assert judged(flags).effect is Effect.ALLOW


@pytest.mark.parametrize("client", [api.get_client, lambda: api.get_client("nobody")])
def test_no_provider_is_a_fault(client: Callable[[], OpenFeatureClient]) -> None:
    """S1: without a provider the SDK says READY and DEFAULT; here it is a fault."""
    flags = FlagReader(client()).read(CONTRACT, RULES)
    assert flags.standing == "provider_missing"
    assert judged(flags).effect is Effect.DENY


def test_shutdown_is_a_fault() -> None:
    """S1: after api.shutdown() nothing that the client answers counts."""
    provider = Scripted()
    reader = FlagReader(client_for(provider, wrapped=False), bound=provider)
    assert judged(reader.read(CONTRACT, RULES)).effect is Effect.ALLOW
    api.shutdown()
    assert judged(reader.read(CONTRACT, RULES)).effect is Effect.DENY


def test_borrowed_and_replaced_providers_are_faults() -> None:
    """An unbound domain serves the default provider's flags: not ours to believe."""
    provider = Scripted()
    api.set_provider_and_wait(provider)
    flags = FlagReader(api.get_client("governance")).read(CONTRACT, RULES)
    assert flags.standing == "provider_borrowed"
    assert judged(flags).effect is Effect.DENY
    reader = FlagReader(client_for(provider, wrapped=False), bound=provider)
    assert reader.read(CONTRACT, RULES).standing is None
    api.set_provider_and_wait(Scripted(), "governance")
    flags = reader.read(CONTRACT, RULES)
    assert flags.standing == "provider_replaced"
    assert judged(flags).effect is Effect.DENY


ILLEGAL: list[tuple[str, Any]] = [
    ("modeFlag", "Autonomous"),
    ("modeFlag", "autonomous "),
    ("modeFlag", ""),
    ("modeFlag", True),
    ("modeFlag", 6),
    ("modeFlag", None),
    ("globalFlag", 1),
    ("globalFlag", "true"),
    ("globalFlag", None),
    ("approvalFlag", 0),
    ("approvalFlag", "false"),
    ("approvalFlag", None),
    ("fallbackFlag", 0),
    ("fallbackFlag", "false"),
    ("denylistFlag", "[]"),
    ("denylistFlag", {}),
    ("denylistFlag", {"tool": []}),
    ("denylistFlag", [1]),
    ("denylistFlag", [None]),
    ("denylistFlag", [""]),
    ("denylistFlag", ()),
    ("denylistFlag", None),
    ("denylistFlag", RuntimeError("down")),
    ("modeFlag", RuntimeError("down")),
    ("approvalFlag", ValueError("x")),
    (
        "modeFlag",
        FlagResolutionDetails("autonomous", error_code=ErrorCode.FLAG_NOT_FOUND),
    ),
    ("approvalFlag", FlagResolutionDetails(False, error_code=ErrorCode.TYPE_MISMATCH)),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("value", [None, 0, 1, "", "true", "Autonomous", (), {}, []])
def test_closed_sets_are_exact(kind: Any, value: Any) -> None:
    """What only resembles a member of the closed set is none: 1 is not true."""
    assert kind.legal(value) is (value == [] and kind.name == "denylist")


@ways
@pytest.mark.parametrize(("name", "value"), ILLEGAL)
@pytest.mark.filterwarnings("ignore")
def test_illegal_values_never_widen(name: str, value: Any, wrapped: bool) -> None:
    """S2, S6, S7, S8: what is no exact member of the closed set is a fault."""
    provider = Scripted(**{name: value})
    flags = FlagReader(client_for(provider, wrapped=wrapped)).read(CONTRACT, RULES)
    lost = [kind for kind, fault in faults(flags).items() if fault is not None]
    assert lost == [name.removesuffix("Flag").replace("global", "switch")]
    assert faults(flags)[lost[0]] != "flag_altered"
    if name != "approvalFlag":
        assert judged(flags).effect is not Effect.ALLOW
    assert judged(flags).mode <= judged_all_well().mode


def judged_all_well() -> Decision:
    api.shutdown()
    return judged(
        FlagReader(client_for(Scripted(), wrapped=False)).read(CONTRACT, RULES)
    )


class Meddler(Hook):
    """Someone else's hook that changes values, or raises, at a chosen stage."""

    def __init__(self, stage: str, act: Callable[[Any], None]) -> None:
        self.stage, self.act = stage, act

    def _do(self, stage: str, details: Any) -> None:
        if stage == self.stage:
            self.act(details)

    def before(self, hook_context: Any, hints: Any) -> None:
        self._do("before", hook_context)

    def after(self, hook_context: Any, details: Any, hints: Any) -> None:
        self._do("after", details)

    def finally_after(self, hook_context: Any, details: Any, hints: Any) -> None:
        self._do("finally_after", details)


def widen(details: Any) -> None:
    if details.flag_key == KEYS["modeFlag"]:
        details.value = "autonomous"


def drop(details: Any) -> None:
    if details.flag_key == KEYS["denylistFlag"]:
        details.value.clear()


def explode(details: Any) -> None:
    if details.flag_key == KEYS["modeFlag"]:
        raise RuntimeError("not ours")


@ways
@pytest.mark.parametrize("where", ["api", "client"])
@pytest.mark.parametrize("stage", ["after", "finally_after"])
@pytest.mark.parametrize("act", [widen, drop, explode])
@pytest.mark.filterwarnings("ignore")
def test_foreign_hooks_cannot_widen(
    act: Callable[[Any], None], stage: str, where: str, wrapped: bool
) -> None:
    """S9, S10: a hook that rewrites or raises leads to a fault or to nothing at all."""
    client = client_for(
        Scripted(modeFlag="observe", denylistFlag=["tool"]), wrapped=wrapped
    )
    hook = Meddler(stage, act)
    api.add_hooks([hook]) if where == "api" else client.add_hooks([hook])
    flags = FlagReader(client).read(CONTRACT, RULES)
    assert judged(flags).effect is Effect.DENY
    assert not judged(flags).full


class Subject(Hook):
    """An app-wide hook that states another subject for every evaluation."""

    def before(self, hook_context: Any, hints: Any) -> EvaluationContext:
        return EvaluationContext("vip", {"toolName": "other", "riskClass": "search"})


@ways
@pytest.mark.parametrize("where", ["api", "client"])
def test_foreign_hooks_cannot_choose_the_subject(where: str, wrapped: bool) -> None:
    """A context that another hook returns is overridden by the action's own."""
    seen: list[EvaluationContext] = []

    class Nosy(Scripted):
        def resolve_string_details(
            self, flag_key: str, default_value: str, evaluation_context: Any = None
        ) -> FlagResolutionDetails[str]:
            seen.append(evaluation_context)
            return super().resolve_string_details(flag_key, default_value)

    client = client_for(Nosy(), wrapped=wrapped)
    api.add_hooks([Subject()]) if where == "api" else client.add_hooks([Subject()])
    FlagReader(client).read(CONTRACT, RULES)
    assert seen[0].targeting_key == "user-1"
    assert seen[0].attributes["toolName"] == "tool"


class Echo(Scripted):
    """A provider that answers the denylist with the caller's default, no error."""

    def resolve_object_details(
        self, flag_key: str, default_value: Any, evaluation_context: Any = None
    ) -> FlagResolutionDetails[Any]:
        return FlagResolutionDetails(default_value, reason=Reason.DEFAULT)


class Emptier(Hook):
    """A hook that empties the default it is shown."""

    def before(self, hook_context: Any, hints: Any) -> None:
        if isinstance(hook_context.default_value, list):
            hook_context.default_value.clear()


@ways
def test_safest_defaults_cannot_be_emptied(wrapped: bool) -> None:
    """A hook that edits the default list neither allows now nor later."""
    client = client_for(Echo(), wrapped=wrapped)
    assert judged(FlagReader(client).read(CONTRACT, RULES)).effect is Effect.DENY
    client.add_hooks([Emptier()])
    assert judged(FlagReader(client).read(CONTRACT, RULES)).effect is Effect.DENY
    client.hooks = []
    assert judged(FlagReader(client).read(CONTRACT, RULES)).effect is Effect.DENY


@ways
def test_a_decision_never_mixes_two_snapshots(wrapped: bool) -> None:
    """Swapped between two flags: one snapshot answers all, or the decision denies."""
    one = featbit(mode="autonomous", approval=True).snapshot
    other = featbit(mode="observe", approval=False).snapshot
    assert one is not None
    assert other is not None
    later: Snapshot = other
    provider = featbit(mode="autonomous", approval=True)
    client = client_for(provider, wrapped=wrapped)
    reader = FlagReader(client, bound=provider)

    class Swapper(Hook):
        def after(self, hook_context: Any, details: Any, hints: Any) -> None:
            if hook_context.flag_key == KEYS["modeFlag"]:
                provider.replace(later)

    client.add_hooks([Swapper()])
    flags = reader.read(CONTRACT, RULES)
    values = {kind: reading.value for kind, reading in flags.flags.items()}
    mixed = values["mode"] == "autonomous" and values["approval"] is False
    assert not mixed
    assert flags.standing in (None, "flags_changing")


def test_the_same_key_as_another_kind_is_evaluated_anew() -> None:
    """What is remembered for a key as one kind is not believed of another kind."""
    provider = featbit(on=False)
    reader = FlagReader(client_for(provider, wrapped=False), bound=provider)
    swapped = contract_yaml(
        "tool", riskClass="search", runtimeControls="{fallbackFlag: gov.on}"
    )
    reader.read(CONTRACT, parse(swapped).contracts["tool"])
    as_switch = contract_yaml(
        "tool", riskClass="search", runtimeControls="{globalFlag: gov.on}"
    )
    rules = parse(as_switch).contracts["tool"]
    assert reader.read(CONTRACT, rules).flags["switch"].value is False


@ways
def test_alteration_after_our_hook_is_named(wrapped: bool) -> None:
    """A value changed to another legal one is told apart from an illegal one."""
    client = client_for(Scripted(modeFlag="observe"), wrapped=wrapped)
    api.add_hooks([Meddler("after", widen)])
    flags = FlagReader(client).read(CONTRACT, RULES)
    assert faults(flags)["mode"] == "flag_altered"


def finally_swaps(details: Any) -> None:
    if details.flag_key == KEYS["modeFlag"]:
        details.value = "Autonomous"


@ways
def test_illegal_values_are_checked_twice(wrapped: bool) -> None:
    """A value that a later hook made illegal is named so, whatever ours saw."""
    client = client_for(Scripted(), wrapped=wrapped)
    api.add_hooks([Meddler("finally_after", finally_swaps)])
    flags = FlagReader(client).read(CONTRACT, RULES)
    assert faults(flags)["mode"] == "flag_illegal_value"
    assert flags.flags["mode"].value is None


def test_hook_refuses_illegal_values() -> None:
    """S6: what is outside the closed set never leaves the SDK: the default does."""
    client = client_for(Scripted(modeFlag="Autonomous"), wrapped=False)
    (mode,) = (kind for kind in KINDS if kind.name == "mode")
    key = KEYS["modeFlag"]
    hints: dict[str, Any] = {HINT: Notes({key: mode}, EvaluationContext("user-1"))}
    options = FlagEvaluationOptions(hooks=[GovernanceHook()], hook_hints=hints)
    details = client.get_string_details(key, mode.default(), None, options)
    assert (details.value, details.reason) == ("off", Reason.ERROR)


class Deaf(Wrapped):
    """A client that drops the hooks and hints it is given."""

    def get_string_details(self, *args: Any) -> Any:
        return super().get_string_details(*args[:3])


class Lost(Wrapped):
    """A client that ran the hooks and then raises."""

    def get_string_details(self, *args: Any) -> Any:
        super().get_string_details(*args)
        raise RuntimeError("after the hooks")


@pytest.mark.parametrize("kind", [Deaf, Lost])
def test_readings_without_our_check_are_faults(kind: type[Wrapped]) -> None:
    """A flag that our hook never saw, or that nobody answered, is lost."""
    api.set_provider_and_wait(Scripted(), "governance")
    flags = FlagReader(kind("governance", None)).read(CONTRACT, RULES)
    assert faults(flags)["mode"] == "flag_layer_failed"
    assert faults(flags)["switch"] is None
    assert judged(flags).effect is Effect.DENY


def test_hook_that_did_not_check_says_so() -> None:
    """S10: an after hook that raised before ours leaves a value nobody checked."""
    client = client_for(Scripted(), wrapped=False)
    notes = Notes(
        {KEYS["modeFlag"]: next(k for k in KINDS if k.name == "mode")},
        EvaluationContext("user-1"),
    )
    about: Any = SimpleNamespace(flag_key=KEYS["modeFlag"])
    details = client.get_string_details(KEYS["modeFlag"], "off")
    GovernanceHook().finally_after(about, details, {HINT: notes})
    assert notes.readings[KEYS["modeFlag"]].fault == "flag_unchecked"


def test_fault_of_the_source_is_a_fault_of_every_flag() -> None:
    """What a source that may not be believed answers is not kept as a value."""
    api.set_provider_and_wait(Scripted())
    flags = FlagReader(api.get_client("governance")).read(CONTRACT, RULES)
    assert set(faults(flags).values()) == {"provider_borrowed"}
    assert {reading.value for reading in flags.flags.values()} == {None}


@pytest.mark.parametrize(
    "raised", [KeyboardInterrupt, SystemExit], ids=["ctrl-c", "exit"]
)
@ways
def test_interrupts_come_through(raised: type[BaseException], wrapped: bool) -> None:
    """S4: the SDK turns an interrupt into UnboundLocalError; here it stays itself."""
    reader = FlagReader(client_for(Scripted(modeFlag=raised()), wrapped=wrapped))
    with pytest.raises(raised):
        reader.read(CONTRACT, RULES)


class Broken(Scripted):
    """A provider whose metadata call fails."""

    broken = False

    def get_metadata(self) -> Metadata:
        if self.broken:
            raise RuntimeError("no metadata")
        return super().get_metadata()


@ways
def test_a_client_that_raises_is_a_fault(wrapped: bool) -> None:
    """S5: get_metadata raising escapes the SDK; every flag is then lost."""
    provider = Broken()
    reader = FlagReader(client_for(provider, wrapped=wrapped))
    provider.broken = True
    flags = reader.read(CONTRACT, RULES)
    assert judged(flags).effect is Effect.DENY
    assert flags.standing == "flag_layer_failed"
    assert set(faults(flags).values()) == {"flag_layer_failed:RuntimeError"}


@pytest.mark.parametrize("status", [ProviderStatus.NOT_READY, ProviderStatus.FATAL])
def test_unready_providers_deny(
    status: ProviderStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that is not ready, or never will be, denies whatever it holds."""
    client = client_for(Scripted(), wrapped=False)
    monkeypatch.setattr(client, "get_provider_status", lambda: status)
    flags = FlagReader(client).read(CONTRACT, RULES)
    assert flags.standing == f"provider_{status.value.lower()}"
    assert judged(flags).effect is Effect.DENY


def test_stale_status_ages_from_the_last_ready() -> None:
    """S11: STALE and ERROR still answer, so the age since READY lowers the cap."""
    now = [1_000_000_000_000]
    provider = Scripted()
    client = client_for(provider, wrapped=False)
    reader = FlagReader(client, clock=lambda: now[0])
    assert reader.read(CONTRACT, RULES).age_ns == 0
    provider.emit_provider_stale(ProviderEventDetails())
    now[0] += 61_000_000_000
    flags = reader.read(CONTRACT, RULES)
    assert flags.age_ns == 61_000_000_000
    assert judged(flags).mode.label == "draft_write"


def test_global_context_cannot_choose_the_subject() -> None:
    """S12, S22: contexts set elsewhere are overridden by the action's own."""
    seen: list[EvaluationContext] = []

    class Nosy(Scripted):
        def resolve_string_details(
            self, flag_key: str, default_value: str, evaluation_context: Any = None
        ) -> FlagResolutionDetails[str]:
            seen.append(evaluation_context)
            return super().resolve_string_details(flag_key, default_value)

    client = client_for(Nosy(), wrapped=False)
    api.set_evaluation_context(
        EvaluationContext("intruder", {"environment": "dev", "extra": "kept"})
    )
    FlagReader(client).read(CONTRACT, RULES)
    assert seen[0].targeting_key == "user-1"
    assert seen[0].attributes["environment"] == "test"
    assert seen[0].attributes["extra"] == "kept"


def test_values_are_copies() -> None:
    """S16: a provider that later changes its list does not change what was read."""
    live = ["other"]
    provider = Scripted(denylistFlag=live)
    flags = FlagReader(client_for(provider, wrapped=False)).read(CONTRACT, RULES)
    live.append("tool")
    assert flags.flags["denylist"].value == ["other"]


class Undated(Scripted):
    """A provider that says READY and holds old data."""

    def initialize(self, evaluation_context: Any) -> None:
        self.emit_provider_stale(ProviderEventDetails())

    def freshness(self) -> Any:
        return Freshness(1, time.monotonic_ns() - 3600 * 10**9, "disk", "r")


def test_status_that_was_overwritten_does_not_hide_the_age() -> None:
    """S14: STALE emitted inside initialize becomes READY; the age still counts."""
    client = client_for(Undated(), wrapped=False)
    assert client.get_provider_status() is ProviderStatus.READY
    flags = FlagReader(client).read(CONTRACT, RULES)
    assert judged(flags).mode.label == "search_only"


def test_providers_are_hashable_and_leave_the_registry_sound() -> None:
    """S17: an unhashable provider poisons the registry; ours has identity hash."""
    provider = featbit()
    assert len({provider, featbit()}) == 2
    client_for(provider, wrapped=False)
    api.shutdown()


def test_a_lost_flag_is_not_logged_on_every_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """S19: the SDK logs a traceback an evaluation; the batch reports by value."""
    client = client_for(Scripted(modeFlag=RuntimeError("down")), wrapped=False)
    FlagReader(client).read(CONTRACT, RULES)
    assert caplog.records == []


def test_nothing_is_registered_in_the_global_api() -> None:
    """S18, S20, S21: no handler, no global hook, no tracking: nothing can leak."""
    provider = Scripted()
    client = client_for(provider, wrapped=False)
    for _ in range(10):
        FlagReader(client).read(CONTRACT, RULES)
    assert api.get_hooks() == []
    assert client.hooks == []


def test_a_change_is_seen_without_any_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """S18: events may be late or lost; the generation alone ends what is remembered."""
    provider = featbit()
    reader = FlagReader(client_for(provider, wrapped=False), bound=provider)
    reader.read(CONTRACT, RULES)
    monkeypatch.setattr(provider, "emit", lambda *_: None)
    snapshot = featbit(mode="off").snapshot
    assert snapshot is not None
    provider.replace(snapshot)
    assert judged(reader.read(CONTRACT, RULES)).effect is Effect.DENY


def featbit(**values: Any) -> FeatBitProvider:
    return FeatBitProvider.from_json(orjson.dumps(flag_document(**values)))


def test_repeated_reads_are_remembered_until_the_data_changes() -> None:
    """The same context is not evaluated twice, and a new generation is seen at once."""
    provider = featbit()
    reader = FlagReader(client_for(provider, wrapped=False), bound=provider)
    first = reader.read(CONTRACT, RULES)
    assert reader.read(CONTRACT, RULES).flags is first.flags
    snapshot = featbit(on=False).snapshot
    assert snapshot is not None
    provider.replace(snapshot)
    assert judged(reader.read(CONTRACT, RULES)).effect is Effect.DENY


@pytest.mark.parametrize("level", ["api", "client", "provider"])
def test_nothing_is_remembered_while_a_foreign_hook_takes_part(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks of others run on every evaluation, as OpenFeature promises them."""
    counted: list[str] = []
    provider = featbit()
    client = client_for(provider, wrapped=False)
    reader = FlagReader(client, bound=provider)
    reader.read(CONTRACT, RULES)
    hook = Meddler("before", lambda about: counted.append(about.flag_key))
    if level == "api":
        api.add_hooks([hook])
    elif level == "client":
        client.add_hooks([hook])
    else:
        monkeypatch.setattr(provider, "get_provider_hooks", lambda: [hook])
    reader.read(CONTRACT, RULES)
    reader.read(CONTRACT, RULES)
    assert len(counted) == 2 * len(KINDS)


@pytest.mark.parametrize("level", ["api", "transaction", "client"])
def test_nothing_is_remembered_while_a_foreign_context_takes_part(level: str) -> None:
    """What another context adds is no part of the key, so nothing is remembered."""
    provider = featbit()
    client = client_for(provider, wrapped=False)
    reader = FlagReader(client, bound=provider)
    first = reader.read(CONTRACT, RULES)
    added = EvaluationContext(attributes={"extra": "1"})
    api.set_transaction_context_propagator(ContextVarsTransactionContextPropagator())
    try:
        if level == "api":
            api.set_evaluation_context(added)
        elif level == "transaction":
            api.set_transaction_context(added)
        else:
            client.context = added
        assert reader.read(CONTRACT, RULES).flags is not first.flags
    finally:
        api.set_transaction_context(EvaluationContext())
        api.set_evaluation_context(EvaluationContext())


class Aged(Scripted):
    """A provider that dates its data."""

    generation: Any = 7
    verified_ns = 40

    def freshness(self) -> Any:
        return SimpleNamespace(
            verified_ns=self.verified_ns,
            generation=self.generation,
            source="file",
            revision="r-1",
        )


def test_age_is_the_providers_own() -> None:
    """A provider that dates its data is asked; its status alone proves nothing."""
    client = client_for(Aged(), wrapped=False)
    flags = FlagReader(client, clock=lambda: 100).read(CONTRACT, RULES)
    assert (flags.age_ns, flags.generation, flags.source) == (60, 7, "file")


@pytest.mark.parametrize("generation", [None, "7", 7.0, True])
def test_nothing_is_remembered_without_a_generation(generation: Any) -> None:
    """A provider whose data has no exact generation is asked every time."""
    provider = Aged()
    provider.generation = generation
    reader = FlagReader(client_for(provider, wrapped=False), clock=lambda: 100)
    reader.read(CONTRACT, RULES)
    reader.read(CONTRACT, RULES)
    assert provider.calls == 2 * len(KINDS)


def test_memory_is_of_one_provider_and_one_context() -> None:
    """Another provider, subject, attribute or set of flags is another question."""
    provider = Aged()
    reader = FlagReader(client_for(provider, wrapped=False), clock=lambda: 100)
    reader.read(CONTRACT, RULES)
    other = replace(CONTEXT, actor=replace(CONTEXT.actor, user="user-2"))
    fewer = parse(
        contract_yaml("tool", runtimeControls="{modeFlag: gov.mode}")
    ).contracts["tool"]
    asked = provider.calls
    for contract, rules, more in (
        (CONTRACT, RULES, 0),
        (replace(CONTRACT, context=other), RULES, len(KINDS)),
        (replace(CONTRACT, target_system="crm"), RULES, len(KINDS)),
        (CONTRACT, fewer, 1),
    ):
        reader.read(contract, rules)
        assert provider.calls == asked + more
        asked = provider.calls
    successor = Aged(globalFlag=False)
    api.set_provider_and_wait(successor, "governance")
    assert judged(reader.read(CONTRACT, RULES)).effect is Effect.DENY


def test_memory_never_serves_an_older_generation() -> None:
    """Under concurrent replacements no read after a kill returns the old answer."""
    provider = featbit()
    reader = FlagReader(client_for(provider, wrapped=False), bound=provider)
    live, dead = provider.snapshot, featbit(on=False).snapshot
    assert live is not None
    assert dead is not None
    wrong: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            before = provider.generation, provider.snapshot
            switch = reader.read(CONTRACT, RULES).flags["switch"].value
            after = provider.generation, provider.snapshot
            # Unchanged in between: then only this snapshot may have answered.
            if before == after and before[1] is dead and switch is not False:
                wrong.append("stale")

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(150):
        provider.replace(live)
        provider.replace(dead)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_hook_completes_the_context_of_flags_read_inside_a_tool() -> None:
    """While an action runs, flags read by the tool see the action's attributes."""
    document = authoring.document(
        [
            authoring.boolean_flag(
                "inside",
                serve=False,
                rules=[
                    authoring.rule(
                        "r",
                        [authoring.condition("toolName", "Equal", "tool")],
                        serve="true",
                    )
                ],
            )
        ]
    )
    provider = FeatBitProvider.from_json(orjson.dumps(document))
    client = client_for(provider, wrapped=False)
    client.add_hooks([GovernanceHook()])
    context = EvaluationContext("someone")
    assert client.get_boolean_value("inside", False, context) is False
    token = active.set(CONTRACT)
    try:
        assert client.get_boolean_value("inside", False, context) is True
    finally:
        active.reset(token)
