"""Control: the hard boundary. Flags narrow what it allows and never widen it."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode

NAME = "authorization"
HELD = Verdict(NAME, Mode.AUTONOMOUS, "authorized")
UNBOUNDED = Verdict(NAME, Mode.AUTONOMOUS, "no_hard_boundary")


def authorization(
    contract: ActionContract, rules: GovernanceContract, _: Readings
) -> Verdict:
    """Cap at off unless the actor's credential is the one that the contract demands.

    It must be the named service identity, hold every demanded scope and none of the
    blocked ones (article 000, ``hardBoundary``).
    """
    boundary, actor = rules.hard_boundary, contract.context.actor
    if boundary.service_identity and actor.service != boundary.service_identity:
        return _refused("service_identity_mismatch", boundary.service_identity)
    missing = boundary.demanded - actor.scopes
    if missing:
        return _refused("scope_missing", *missing)
    held = actor.scopes.intersection(boundary.blocked_scopes)
    if held:
        return _refused("blocked_scope_held", *held)
    bounded = boundary.service_identity or boundary.demanded
    return HELD if bounded else UNBOUNDED


def _refused(reason: str, *names: str) -> Verdict:
    return Verdict(NAME, Mode.OFF, reason, evidence={"names": sorted(names)})
