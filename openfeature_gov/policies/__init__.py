"""Foreign policies as guardrails: Python functions, Cedar, decision points."""

from openfeature_gov.policies.asking import Policies
from openfeature_gov.policies.erasures import Erasures
from openfeature_gov.policies.hosted import Hosted
from openfeature_gov.policies.knowing import Knowing

__all__ = ["Erasures", "Hosted", "Knowing", "Policies"]
