"""What guardrails remember between the calls of one process."""

from openfeature_gov.observing.observer import Erased, Observer

__all__ = ["Erased", "Observer"]
