"""Every error of the management client. The class says what to do next."""

from collections.abc import Sequence

from openfeature.contrib.provider.featbit.management.difference import (
    Change,
    described,
)


class ManagementError(Exception):
    """Be the root of every error of the management client."""


class RefusedError(ManagementError, ValueError):
    """Report what was refused before anything was sent (the caller's mistake)."""


class NoAnswerError(ManagementError):
    """Report a request without a usable answer: no connection, a timeout, a 5xx.

    *status* is 0 where no answer came at all. *handled* tells that the server has
    finished with the request, so that what a new read shows will not change later.
    """

    def __init__(
        self, request: str, problem: str, *, status: int = 0, handled: bool = False
    ) -> None:
        super().__init__(f"{request}: {problem}")
        self.request = request
        self.status = status
        self.handled = handled
        self.retry_after: float | None = None


class ApiError(ManagementError):
    """Report a request that FeatBit refused, with its *status* and error *codes*."""

    def __init__(
        self, request: str, status: int, codes: Sequence[str] = (), hint: str = ""
    ) -> None:
        told = ", ".join(codes) or "no error code"
        super().__init__(f"{request}: {status} {told}" + (f"; {hint}" if hint else ""))
        self.request = request
        self.status = status
        self.codes = tuple(codes)


class MissingError(ApiError):
    """Report what does not exist in this environment."""


class NotPermittedError(ApiError):
    """Report what the token may not do, or may not see."""


class StaleRevisionError(ManagementError):
    """Report a change made on a revision that is no longer the current one.

    Nothing was written. *changes* hold each difference: *before* is the value that is
    there now (theirs), *after* the value that was to be written (yours).
    """

    def __init__(
        self, what: str, yours: str, theirs: str, changes: Sequence[Change]
    ) -> None:
        lines = described(changes, before="theirs", after="yours")
        body = "\n".join(f"  {line}" for line in lines) or "  both say the same"
        super().__init__(
            f"{what}: your change is based on {yours}, the current one is {theirs};"
            f" nothing was written. Read it again and review:\n{body}"
        )
        self.yours = yours
        self.theirs = theirs
        self.changes = tuple(changes)


class WriteFailedError(ManagementError):
    """Report a write that got no usable answer, and that a new read does not show.

    *settled* is False where it may still arrive: read again before sending it again.
    """

    def __init__(self, cause: NoAnswerError) -> None:
        settled = cause.handled
        then = (
            "nothing was changed"
            if settled
            else "nothing is changed so far, but it may still arrive: read again first"
        )
        super().__init__(f"{cause}; {then}")
        self.settled = settled


class OutcomeUnknownError(ManagementError):
    """Report a write whose outcome could not be told: look before doing it again."""
