"""The parts of FeatBit's Python SDK that are used, and the check that they are known.

Importing it changes the class of all loggers made later; that is undone here.
"""

import logging
from importlib.metadata import version

_loggers = logging.getLoggerClass()
from fbclient.config import Config, WebSocketConfig  # noqa: E402 - see above
from fbclient.data_storage import NullDataStorage  # noqa: E402
from fbclient.status import DataUpdateStatusProviderImpl  # noqa: E402
from fbclient.streaming import WS_INVALID_REQUEST_CLOSE, Streaming  # noqa: E402
from fbclient.utils.exponential_backoff_jitter_strategy import (  # noqa: E402
    BackoffAndJitterStrategy,
)

logging.setLoggerClass(_loggers)

__all__ = [
    "WS_INVALID_REQUEST_CLOSE",
    "BackoffAndJitterStrategy",
    "Config",
    "DataUpdateStatusProviderImpl",
    "NullDataStorage",
    "Streaming",
    "WebSocketConfig",
]

KNOWN = "1.2.1"
STRUCTURE = (
    *("__closed_by_error", "__force_close", "__ping_interval", "__ping_task"),
    *("__running", "__stop_event", "__strategy", "__wsapp"),
)


def check_sdk(seen: str, names: frozenset[str]) -> None:
    """Refuse an SDK of another structure than the one that is changed here.

    Raises:
        ImportError: *seen* is not the known version, or a member is missing.

    """
    missing = sorted({f"_Streaming{name}" for name in STRUCTURE} - names)
    if seen != KNOWN or missing:
        what = f"lacks {', '.join(missing)}" if missing else "is not known"
        raise ImportError(f"fb-python-sdk {seen} {what}; install {KNOWN}")


check_sdk(
    version("fb-python-sdk"),
    frozenset(
        name
        for method in vars(Streaming).values()
        if hasattr(method, "__code__")
        for name in method.__code__.co_names
    ),
)
