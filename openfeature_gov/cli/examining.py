"""Ask both sides of FeatBit what `gov featbit doctor` tells, in a sensible order.

Nothing is changed anywhere, so what a token may *write* stays open.
"""

from __future__ import annotations

import time

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.management import (
    ManagementClient,
    ManagementError,
)
from openfeature_gov.cli import doctoring, flag_checks, flag_data, probing, provisioning
from openfeature_gov.cli.connecting import Evaluation
from openfeature_gov.cli.doctoring import Check, Skew, State, unchecked
from openfeature_gov.governance import Governance
from openfeature_gov.targets import Held, UnreachableError
from openfeature_gov.targets.featbit import FeatBitTarget

EVALUATION, API = "the evaluation server's data", "FeatBit"
LISTED = "may list flags and segments"


def checked(
    contracts: Governance,
    evaluation: Evaluation | None,
    target: FeatBitTarget | None,
    api_url: str,
    timeout_s: float,
) -> list[Check]:
    """Return every line: the evaluation server's, the API's, then the flags.

    *evaluation* or *target* is None where it is not given; *api_url* is the target's,
    and *timeout_s* bounds the wait for each answer.
    """
    checks: list[Check] = []
    served = managed = None
    if evaluation is None:
        why = "neither --streaming-url nor --event-url"
        checks.append(unchecked("evaluation server", why))
    else:
        served = _evaluation(evaluation, timeout_s, checks)
    if target is None:
        checks.append(unchecked("management API", "no --api-url"))
    elif _alive(api_url, timeout_s, checks):
        keys = list(provisioning.wanted(contracts))
        managed = _management(target, keys, evaluation, checks)
    if served is not None and managed is not None:
        checks.append(flag_data.propagation(managed, served))
    held, place = (managed, API) if served is None else (served, EVALUATION)
    if held is None:
        checks.append(unchecked("flags", "no server showed them"))
    else:
        checks += flag_checks.flag_checks(contracts, held, place=place)
    return checks


def _evaluation(
    asked: Evaluation, timeout_s: float, checks: list[Check]
) -> Held | None:
    """Add the lines of the evaluation server; return its flags, if it showed them."""
    held = skew = None
    if asked.event_url:
        checks += doctoring.plain("event URL", asked.event_url)
        answer = probing.latest_all(asked.event_url, asked.secret, timeout_s)
        skew = answer.skew
        checks.append(doctoring.latest(answer))
        if answer.status:
            tolerance = doctoring.OLDEST_TOKEN_S
            checks.append(doctoring.clock("clock", skew, tolerance=tolerance))
        if answer.status == 200:
            held = _served(answer.body, skew, checks)
    else:
        checks.append(unchecked("event URL", "no --event-url"))
    if asked.streaming_url:
        checks += doctoring.plain("streaming URL", asked.streaming_url)
        seen = probing.stream(asked.streaming_url, asked.secret, timeout_s)
        checks.append(doctoring.stream(seen, skew))
    else:
        checks.append(unchecked("streaming URL", "no --streaming-url"))
    return held


def _served(body: bytes, skew: Skew | None, checks: list[Check]) -> Held | None:
    try:
        held = flag_data.served(body, EVALUATION)
    except FeatBitDataError as error:
        do = "is --event-url that of the evaluation server?"
        checks.append(Check("flag data", State.PROBLEM, str(error), do))
        return None
    checks += [flag_data.data(held), flag_data.stamps(held, _now_ms(skew))]
    return held


def _alive(api_url: str, timeout_s: float, checks: list[Check]) -> bool:
    answer = probing.api(api_url, timeout_s)
    checks.append(doctoring.alive(answer))
    if answer.status:
        checks.append(doctoring.clock("API clock", answer.skew, tolerance=None))
    return bool(answer.status)


def _management(
    target: FeatBitTarget,
    keys: list[str],
    evaluation: Evaluation | None,
    checks: list[Check],
) -> Held | None:
    """Add the lines of the management API; return the flags *keys*, if it shows them.

    What is in the future there is told by the evaluation server, which has it all.
    """
    client = target.client
    try:
        place = client.environment(target.project, target.env)
    except ManagementError as error:
        checks.append(doctoring.refusal("token", error))
        return None
    checks.append(Check("token", State.OK, f"is accepted, and sees {target.name}"))
    if evaluation is not None:
        known = [(one.type, one.value.get_secret_value()) for one in place.secrets]
        checks.append(doctoring.secret(evaluation.secret, known))
    refused = _listing(client, place.id)
    checks.append(refused or Check("permissions", State.OK, LISTED))
    if refused is not None and refused.state is State.UNREACHED:
        return None
    try:
        held = target.read(keys)
    except UnreachableError as error:
        do = "mend the flags in FeatBit, or look at the API server"
        checks.append(Check("flags", State.PROBLEM, str(error), do))
        return None
    why = "FeatBit tells what a token may change only when it is tried"
    do = "grant ToggleFlag and UpdateFlagVariations for kills"
    checks.append(unchecked("permissions to change", why, do))
    return held


def _listing(client: ManagementClient, env_id: str) -> Check | None:
    """Return what is wrong when flags and segments are listed, None if nothing is."""
    try:
        for listed in (client.flags(env_id), client.segments(env_id)):
            next(listed, None)
    except ManagementError as error:
        return doctoring.refusal("permissions", error)
    return None


def _now_ms(skew: Skew | None) -> float:
    """Return the time at a server in milliseconds, ours where its is not known."""
    return (time.time() + (skew.seconds if skew is not None else 0)) * 1000
