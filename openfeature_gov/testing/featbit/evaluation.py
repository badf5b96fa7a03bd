"""The HTTP routes of the evaluation server."""

from __future__ import annotations

import json
import threading
from typing import Any

from openfeature_gov.testing.featbit.environment import environment_of
from openfeature_gov.testing.featbit.oracle import filtered, shown, user_of
from openfeature_gov.testing.featbit.ports import Request, Response, json_response
from openfeature_gov.testing.featbit.store import FLAGS, SEGMENTS, Json, Store
from openfeature_gov.testing.featbit.streaming import POLL, sync_message

LATEST = "/api/public/sdk/server/latest-all"
EVALUATE = "/api/public/featureflag/evaluate"
TRACK = "/api/public/insight/track"
HEALTH = frozenset({"/health/liveness", "/health/readiness"})


class Evaluation:
    """Answer HTTP for the flags of one store; the insights it was sent are kept.

    As on the real server, the secret is checked for its shape alone.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.insights: list[Json] = []
        self.closing = threading.Event()

    def __call__(self, request: Request) -> Response | None:
        """Answer *request*, or None while frozen."""
        faults = self._store.faults
        while faults.frozen and not self.closing.wait(POLL):
            pass
        if self.closing.is_set():
            return None
        skew = faults.evaluation_clock_skew_ms
        return self._answer(request)._replace(date_skew_ms=skew)

    def _answer(self, request: Request) -> Response:
        if self._store.faults.http_down:
            return Response(503)
        if request.path in HEALTH:
            return Response(200, b"Healthy", "text/plain")
        env_id = environment_of(request.headers.get("Authorization", ""))
        if env_id is None:
            return Response(401)
        match (request.method, request.path):
            case ("GET", path) if path == LATEST:
                return self._latest(request, env_id)
            case ("POST", path) if path == TRACK:
                return self._track(request)
            case ("POST", path) if path == EVALUATE:
                return self._evaluate(request, env_id)
        return Response(404)

    def _evaluate(self, request: Request, env_id: str) -> Response:
        try:
            body: Any = json.loads(request.body)
            user = user_of(body["user"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return Response(400, b"invalid end user", "text/plain")
        known = env_id == self._store.environment.env_id
        flags = self._store.items()[FLAGS] if known else []
        chosen = filtered(flags, body.get("filter") or {})
        segments = self._store.segments
        return json_response(200, [shown(one, user, segments) for one in chosen])

    def _latest(self, request: Request, env_id: str) -> Response:
        text = request.query.get("timestamp", ["0"])[0]
        try:
            timestamp = int(text or 0)
        except ValueError:
            return Response(400)
        self.closing.wait(self._store.faults.slow_sync_s)
        if env_id != self._store.environment.env_id:
            return Response(200)
        with self._store.lock:
            newer = self._store.newer_than(timestamp)
            if not newer[FLAGS] and not newer[SEGMENTS]:
                return Response(200)
            return Response(200, sync_message(self._store, timestamp).encode())

    def _track(self, request: Request) -> Response:
        try:
            entries: Any = json.loads(request.body)
        except ValueError:
            return Response(400)
        self.insights += entries if isinstance(entries, list) else []
        return Response(200)
