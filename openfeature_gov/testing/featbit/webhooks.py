"""Webhooks: lossy, unordered hints that something changed, as the server sends them."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from openfeature_gov.testing.featbit.audit import FLAG, Entry
from openfeature_gov.testing.featbit.environment import Environment, new_id
from openfeature_gov.testing.featbit.store import Json

ATTEMPTS = 3
TIMEOUT = 10.0
EVENTS = {
    "TurnFlagOn": "toggled",
    "TurnFlagOff": "toggled",
    "ArchiveFlag": "archived",
    "RestoreFlag": "restored",
    "Archive": "archived",
    "Restore": "restored",
    "AddVariation": "variation_changed",
    "RemoveVariation": "variation_changed",
    "UpdateVariation": "variation_changed",
    "UpdateVariationType": "variation_changed",
    "UpdateDisabledVariation": "off_variation_changed",
    "UpdateDefaultRuleDispatchKey": "default_rule_changed",
    "UpdateDefaultRuleVariationOrRollouts": "default_rule_changed",
    "UpdateName": "basic_info_updated",
    "UpdateDescription": "basic_info_updated",
    "AddTags": "basic_info_updated",
    "RemoveTags": "basic_info_updated",
}
RULES = {FLAG: "targeting_rules_changed"}
SENT = {
    "id",
    "name",
    "description",
    "key",
    "variationType",
    "variations",
    "targetUsers",
    "rules",
    "isEnabled",
    "disabledVariationId",
    "fallthrough",
    "exptIncludeAllTargets",
    "tags",
    "isArchived",
    "included",
    "excluded",
}
FLAG_ONLY = "key"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One registered receiver."""

    id: str
    url: str
    secret: str
    events: Sequence[str]
    headers: Mapping[str, str]


@dataclass(slots=True)
class Delivery:
    """One delivery; *statuses* has the HTTP status of each attempt, 0 for none."""

    id: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    statuses: list[int] = field(default_factory=list)


class Webhooks:
    """The receivers of one server; *retry_s* is the pause before another attempt."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._closing = threading.Event()
        self._receivers: list[Webhook] = []
        self.deliveries: list[Delivery] = []
        self.retry_s = 2.0

    def register(
        self,
        url: str,
        secret: str = "",
        *,
        events: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Webhook:
        """Send changes to *url* from now on; no *events* means all of them."""
        webhook = Webhook(new_id(), url, secret, tuple(events), headers or {})
        self._receivers.append(webhook)
        return webhook

    def close(self) -> None:
        """Give up what is still being delivered."""
        self._closing.set()

    def fire(self, entry: Entry, *, operator: str, references: list[Json]) -> None:
        """Send what *entry* says to everybody who wants its events; do not wait."""
        events = _events(entry)
        body = json.dumps(self._payload(entry, events, operator, references)).encode()
        for webhook in self._receivers:
            wanted = webhook.events or events
            if not set(wanted) & set(events):
                continue
            delivery = _signed(webhook, events, body)
            self.deliveries.append(delivery)
            threading.Thread(
                target=self._deliver, args=(delivery,), daemon=True
            ).start()

    def _payload(
        self, entry: Entry, events: list[str], operator: str, references: list[Json]
    ) -> Json:
        place = self._environment
        shown = {name: _shown(v) for name, v in entry.item.items() if name in SENT}
        if entry.kind != FLAG:
            shown.pop(FLAG_ONLY, None)
            shown["flagReferences"] = references
        kind = "feature flag" if entry.kind == FLAG else "segment"
        return {
            "events": ",".join(events),
            "operator": operator,
            "happenedAt": entry.item["updatedAt"],
            "organization": {"id": place.organization_id, "name": place.organization},
            "project": {"id": place.project_id, "name": place.project_name},
            "environment": {"id": place.env_id, "name": place.env_name},
            "data": {"kind": kind, "object": shown},
            "changes": _changes(entry),
        }

    def _deliver(self, delivery: Delivery) -> None:
        for _attempt in range(ATTEMPTS):
            status = _post(delivery)
            delivery.statuses.append(status)
            if 200 <= status < 300 or self._closing.wait(self.retry_s):
                return


def _shown(value: Any) -> Any:
    """Return *value* as the template engine writes it: booleans are text."""
    return str(value).lower() if isinstance(value, bool) else value


def _events(entry: Entry) -> list[str]:
    prefix = "feature_flag." if entry.kind == FLAG else "segment."
    if entry.before is None:
        return [prefix + "created"]
    if entry.after is None:
        return [prefix + "deleted"]
    names = [_event(entry.kind, one["kind"]) for one in entry.instructions]
    return list(dict.fromkeys(prefix + name for name in names))


def _event(kind: str, instruction: str) -> str:
    if instruction in EVENTS:
        return EVENTS[instruction]
    if "TargetUsers" in instruction:
        return "target_users_changed"
    return RULES.get(kind, "rules_changed")


def _changes(entry: Entry) -> list[str]:
    name = entry.item["name"]
    what = "Flag" if entry.kind == FLAG else "Segment"
    if entry.before is None:
        return [f"Created {what}: ${name}"]
    if entry.after is None:
        return [f"Deleted {what}: {name}"]
    texts = {"TurnFlagOn": "Turn on flag", "TurnFlagOff": "Turn off flag"}
    kinds = [one["kind"] for one in entry.instructions]
    return [f"{texts.get(kind, kind)}: {name}" for kind in kinds]


def _signed(webhook: Webhook, events: list[str], body: bytes) -> Delivery:
    delivery_id = new_id()
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "X-FeatBit-Delivery": delivery_id,
        "X-FeatBit-Event": ",".join(events),
        "X-FeatBit-Hook-ID": webhook.id,
    }
    if webhook.secret:
        digest = hmac.new(webhook.secret.encode(), body, hashlib.sha256).hexdigest()
        headers["X-FeatBit-Signature-256"] = f"sha256={digest}"
    headers |= webhook.headers  # the user's win, even over the signature
    return Delivery(delivery_id, webhook.url, headers, body)


def _post(delivery: Delivery) -> int:
    url = urlsplit(delivery.url)
    path = url.path + (f"?{url.query}" if url.query else "")
    connection = http.client.HTTPConnection(url.netloc, timeout=TIMEOUT)
    try:
        connection.request("POST", path or "/", delivery.body, dict(delivery.headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
