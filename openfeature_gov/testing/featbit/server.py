"""One simulated FeatBit: evaluation server and management API over one store."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Self

from openfeature_gov.testing.featbit.api import Backend, Call
from openfeature_gov.testing.featbit.audit import AuditLog
from openfeature_gov.testing.featbit.commits import commit_flag
from openfeature_gov.testing.featbit.environment import Environment
from openfeature_gov.testing.featbit.evaluation import Evaluation
from openfeature_gov.testing.featbit.faults import Faults
from openfeature_gov.testing.featbit.management import Management
from openfeature_gov.testing.featbit.ports import HttpPort
from openfeature_gov.testing.featbit.store import (
    FLAGS,
    SEGMENTS,
    SYSTEM,
    Json,
    Store,
)
from openfeature_gov.testing.featbit.streaming import Streams, sync_message
from openfeature_gov.testing.featbit.tokens import (
    EVERYTHING,
    AccessToken,
    Statement,
    Tokens,
)
from openfeature_gov.testing.featbit.webhooks import Webhooks


class SimulatedFeatBit:
    """A FeatBit server for one test: open from ``with`` or `start` to `stop`.

    *document* is a data-sync document, the format of flag files, to start with.
    """

    def __init__(self, document: Json | None = None) -> None:
        environment = Environment.create()
        self._store = Store(environment)
        if document is not None:
            self._store.load(document)
        self._streams = Streams(self._store)
        self._evaluation = Evaluation(self._store)
        self._http = HttpPort(self._evaluation)
        self._store.publish = self._streams.push
        self._backend = Backend(
            self._store, Tokens(), AuditLog(self._store), Webhooks(environment)
        )
        self._api = HttpPort(Management(self._backend))
        self._running = False
        self.server_secret = environment.server_secret
        self.access_token = self.token([EVERYTHING], name="everything")
        self.project_key = environment.project_key
        self.env_key = environment.env_key
        self.env_id = environment.env_id

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def faults(self) -> Faults:
        """The faults, to be set at any time."""
        return self._store.faults

    @property
    def streaming_url(self) -> str:
        """The SDK's ``streaming_url``."""
        return self._streams.url

    @property
    def event_url(self) -> str:
        """The SDK's ``event_url``; serves ``latest-all`` and takes insights."""
        return self._http.url

    @property
    def api_url(self) -> str:
        """The base URL of the management API; its routes are under ``/api/v1``."""
        return self._api.url

    @property
    def webhooks(self) -> Webhooks:
        """The webhooks: register receivers here."""
        return self._backend.webhooks

    @property
    def version(self) -> str:
        """The version to be like: from "6" on, targeting has the off variation."""
        return self._backend.version

    @version.setter
    def version(self, version: str) -> None:
        self._backend.version = version

    def token(self, permissions: Iterable[Statement], *, name: str) -> str:
        """Return a service token with these policy statements."""
        return self._backend.tokens.mint(permissions, name=name).text

    def revoke(self, token: str) -> None:
        """Delete a token; what it did then shows no name in the audit log."""
        self._backend.tokens.revoke(token)

    @property
    def connections(self) -> int:
        """The number of open streams."""
        return len(self._streams)

    @property
    def insights(self) -> list[Json]:
        """The entries that were posted to ``insight/track``, in order."""
        return self._evaluation.insights

    def start(self) -> None:
        """Listen on all ports."""
        if not self._running:
            self._running = True
            self._evaluation.closing.clear()
            self._streams.open()
            self._http.open()
            self._api.open()

    def pause(self) -> None:
        """Die: cut all connections and refuse new ones, until `resume`."""
        self._close(keep=True)

    def resume(self) -> None:
        """Come back on the same ports with the same data."""
        self.start()

    def stop(self) -> None:
        """End for good; a second call does nothing."""
        self._backend.webhooks.close()
        self._close(keep=False)

    def _close(self, *, keep: bool) -> None:
        self._running = False
        self._evaluation.closing.set()
        self._streams.close(keep=keep)
        self._http.close(keep=keep)
        self._api.close(keep=keep)

    def load(self, document: Json) -> None:
        """Replace all flags and segments, without a push: as a restored database."""
        self._store.load(document)

    def flag(self, key: str) -> Json:
        """Return flag *key* as it is stored."""
        with self._store.lock:
            return copy.deepcopy(self._store.flags[key])

    def document(self) -> Json:
        """Return what a full sync holds now, as a data-sync document."""
        document: Json = json.loads(sync_message(self._store, 0))
        return document

    def put_flag(self, flag: Json) -> Json:
        """Store *flag*, push it, and return it as stored."""
        with self._store.lock:
            saved = self._store.save_flag(flag)
            self._store.publish(FLAGS, saved)
            return saved

    def put_segment(self, segment: Json) -> Json:
        """Store *segment*, push it, and return it as stored."""
        with self._store.lock:
            saved = self._store.save_segment(segment)
            self._store.publish(SEGMENTS, saved)
            return saved

    def toggle(self, key: str, enabled: bool) -> Json:
        """Turn flag *key* on or off; return it as stored."""
        with self._store.lock:
            return self.put_flag({**self._store.flags[key], "isEnabled": enabled})

    def archive(self, key: str) -> Json:
        """Archive flag *key*; return it as stored."""
        with self._store.lock:
            return self.put_flag({**self._store.flags[key], "isArchived": True})

    def remove(self, key: str) -> None:
        """Delete flag *key*: nothing is pushed, only a full sync shows it."""
        with self._store.lock:
            del self._store.flags[key]

    def trigger(self, key: str, enabled: bool) -> None:
        """Turn flag *key* on or off by a trigger: the audit log says "System"."""
        system = AccessToken(SYSTEM, "System", "", ())
        comment = f"Turn {'on' if enabled else 'off'} by trigger"
        with self._store.lock:
            flag = self._store.flags[key]
            call = Call(self._backend, system, {}, {})
            commit_flag(call, flag, {**flag, "isEnabled": enabled}, comment=comment)

    def push_raw(self, text: str) -> None:
        """Send one frame as it is to all open streams."""
        self._streams.send(text)

    def drop(self, code: int = 1011) -> None:
        """Close all streams with *code*."""
        self._streams.drop(code)
