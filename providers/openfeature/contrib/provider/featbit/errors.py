"""The two errors of this package: bad data, and an edit that cannot be made."""

from openfeature.exception import ParseError


class FeatBitDataError(ParseError):
    """Flag data that was refused whole; the message names the flag and the field.

    It is an OpenFeature ``PARSE_ERROR``, so a provider that fails to start with it
    says so in its status event.
    """


class FeatBitEditError(ValueError):
    """An edit that names something the document does not hold."""
