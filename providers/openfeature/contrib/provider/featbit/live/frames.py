"""Read what the evaluation server sends: pongs and data-sync messages."""

from dataclasses import dataclass

import orjson

from openfeature.contrib.provider.featbit.errors import FeatBitDataError

RawItem = dict[str, object]


@dataclass(frozen=True, slots=True)
class DataSync:
    """The items of one message: all there are if *full*, else those that changed."""

    full: bool
    flags: tuple[object, ...]
    segments: tuple[object, ...]


EMPTY = DataSync(full=True, flags=(), segments=())
"""An environment that holds nothing."""


def read_frame(data: bytes | str) -> DataSync | None:
    """Read one message; None for those, such as a pong, that carry no data.

    Raises:
        FeatBitDataError: not a message, or a data-sync message of an unknown shape.
            The error never quotes it.

    """
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise FeatBitDataError("a message is not JSON") from None
    if not isinstance(message, dict):
        raise FeatBitDataError("a message is not a JSON object")
    kind = message.get("messageType")
    if not isinstance(kind, str):
        raise FeatBitDataError("a message has no messageType")
    return _data_sync(message.get("data")) if kind.lower() == "data-sync" else None


def read_pulled(body: bytes) -> DataSync:
    """Read the answer of ``latest-all``; an empty one means that nothing is there.

    Raises:
        FeatBitDataError: not a full data-sync message.

    """
    if not body.strip():
        return EMPTY
    sync = read_frame(body)
    if sync is None or not sync.full:
        raise FeatBitDataError("latest-all did not answer a full data-sync message")
    return sync


def _data_sync(data: object) -> DataSync:
    if not isinstance(data, dict) or data.get("eventType") not in ("full", "patch"):
        raise FeatBitDataError("a data-sync message is neither full nor patch")
    flags, segments = data.get("featureFlags"), data.get("segments")
    if not isinstance(flags, list) or not isinstance(segments, list):
        raise FeatBitDataError("a data-sync message lacks featureFlags or segments")
    return DataSync(data["eventType"] == "full", tuple(flags), tuple(segments))
