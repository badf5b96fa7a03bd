"""Every error of the package. One root; the class says whose mistake it is."""

from __future__ import annotations


class GovernanceError(Exception):
    """Be the root of every error that this package raises on purpose."""


class InvalidCallError(GovernanceError):
    """Report a tool call whose parts cannot be described (the caller's mistake).

    *code* is a stable reason code; *detail* says what was seen and where.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class InvalidContractError(GovernanceError):
    """Report a governance file that was refused (the author's mistake).

    *source* names the file, *problems* holds one (line, key path, message) a fault;
    the file is refused whole. Lines count from 1; 0 means the file as such.
    """

    def __init__(self, source: str, problems: list[tuple[int, str, str]]) -> None:
        self.source = source
        self.problems = sorted(problems)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return one ``file:line: key: message`` line for each problem.

        What is not known of a problem is left out: its line, or its key.
        """
        told = []
        for line, key, message in self.problems:
            place = f"{self.source}:{line}" if line else self.source
            told.append(": ".join(part for part in (place, key, message) if part))
        return told


class RegistrationError(GovernanceError):
    """Report a tool that cannot be registered as asked (the developer's mistake)."""


class RecordStoreError(GovernanceError):
    """Report a record that could not be made durable (the store's fault)."""


class LostRaceError(RecordStoreError):
    """Report a change that somebody else was faster with; nothing was written."""


class OverspentError(LostRaceError):
    """Report a budget that has less left than was to be taken; nothing was written.

    *purse* names the row of the ledger, *amount* is what was to be taken, *taken* what
    the window holds already.
    """

    def __init__(self, purse: tuple[str, ...], amount: int, taken: int = 0) -> None:
        super().__init__(f"budget {purse[0]}: less is left than this call needs")
        self.purse, self.amount, self.taken = purse, amount, taken


class IdentityError(GovernanceError):
    """Report a credential that says nothing about who acts (the caller's mistake).

    *code* is a stable reason code; *detail* says what was wrong, and nothing of it.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
