"""Read and write FeatBit's ``updatedAt``, the version of a flag or segment."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(stamp: str) -> int:
    """Return the microseconds since 1970 of an ISO 8601 *stamp*.

    Raises:
        ValueError: not ISO 8601, or no offset (``Z``), which would make the version
            depend on the local time zone.

    """
    moment = datetime.fromisoformat(stamp)
    if moment.tzinfo is None:
        raise ValueError(f"{stamp!r} has no UTC offset; write it with Z")
    return (moment - EPOCH) // timedelta(microseconds=1)


def version(stamp: str) -> int:
    """Return *stamp* in milliseconds, cut off as FeatBit's server does it.

    Raises:
        ValueError: as `microseconds`.

    """
    return microseconds(stamp) // 1000


def later(stamp: str, *, than: str) -> str:
    """Return *stamp*, or if that is not later the next free millisecond after *than*.

    The FeatBit SDK rounds to milliseconds where the server cuts off, so the next
    free one is counted from the ceiling: no reader sees two versions as equal.

    Raises:
        ValueError: as `microseconds`.

    """
    following = -(-microseconds(than) // 1000) + 1
    return _written(max(-(-microseconds(stamp) // 1000), following))


def _written(milliseconds: int) -> str:
    moment = EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
