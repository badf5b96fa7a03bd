"""`Post`: give one publisher the newest note, in a thread that may hang."""

from __future__ import annotations

import threading

from openfeature_gov.evidence.publishers import Publisher


class Post:
    """Hand notes to *publish*, one at a time. While it is busy the newest one waits.

    A publisher that never returns keeps this thread, and nothing else.
    """

    def __init__(self, publish: Publisher) -> None:
        self._publish = publish
        self._changed = threading.Condition()
        self._busy = False
        self._next: str | None = None
        self._taken: str | None = None
        self._failure: BaseException | None = None

    def hand(self, note: str) -> bool:
        """Let *note* be published; False while an older one still is."""
        with self._changed:
            if note == self._taken or self._busy:
                self._next = None if note == self._taken else note
                return not self._busy
            self._busy, self._next = True, note
        threading.Thread(target=self._run, name="gov-publisher", daemon=True).start()
        return True

    def problem(self, wait_s: float) -> str:
        """Return why the last note is not published after *wait_s*, empty if it is."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._busy, max(0.0, wait_s)):
                return "it does not return"
            return "" if self._failure is None else repr(self._failure)

    def _run(self) -> None:
        while True:
            with self._changed:
                note, self._next = self._next, None
                if note is None:
                    self._busy = False
                    self._changed.notify_all()
                    return
            failure: BaseException | None = None
            try:
                self._publish(note)
            except BaseException as error:  # noqa: BLE001 - it is anyone's function
                failure = error
            with self._changed:
                self._failure = failure
                self._taken = self._taken if failure else note
