"""The OpenFeature edge: the reader and its hook."""

from openfeature_gov.flags.hook import GovernanceHook
from openfeature_gov.flags.reader import DOMAIN, FlagReader

__all__ = ["DOMAIN", "FlagReader", "GovernanceHook"]
