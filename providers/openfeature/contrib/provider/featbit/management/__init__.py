"""FeatBit's management API: read and change flags, segments and audit logs."""

from openfeature.contrib.provider.featbit.management.client import ManagementClient
from openfeature.contrib.provider.featbit.management.difference import Change
from openfeature.contrib.provider.featbit.management.entries import Actor, AuditEntry
from openfeature.contrib.provider.featbit.management.errors import (
    ApiError,
    ManagementError,
    MissingError,
    NoAnswerError,
    NotPermittedError,
    OutcomeUnknownError,
    RefusedError,
    StaleRevisionError,
    WriteFailedError,
)
from openfeature.contrib.provider.featbit.management.models import (
    Environment,
    FlagReference,
    FlagSummary,
    ManagedFlag,
    ManagedSegment,
    NewFlag,
    NewSegment,
    Project,
    SegmentSummary,
    Variation,
    Written,
)

__all__ = [
    "Actor",
    "ApiError",
    "AuditEntry",
    "Change",
    "Environment",
    "FlagReference",
    "FlagSummary",
    "ManagedFlag",
    "ManagedSegment",
    "ManagementClient",
    "ManagementError",
    "MissingError",
    "NewFlag",
    "NewSegment",
    "NoAnswerError",
    "NotPermittedError",
    "OutcomeUnknownError",
    "Project",
    "RefusedError",
    "SegmentSummary",
    "StaleRevisionError",
    "Variation",
    "WriteFailedError",
    "Written",
]
