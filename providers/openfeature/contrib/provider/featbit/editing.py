"""Edit FeatBit data-sync documents: each edit returns a new one, one version later.

Times are ISO 8601 text and are given by the caller.
"""

import copy
from collections.abc import Callable

from openfeature.contrib.provider.featbit.building import Json, rollout, unknown
from openfeature.contrib.provider.featbit.errors import FeatBitEditError
from openfeature.contrib.provider.featbit.timestamps import later


def serve(
    document: Json, key: str, variant: str, *, at: str, clear_targeting: bool = False
) -> Json:
    """Turn flag *key* on and let its fallthrough serve *variant* to everyone left.

    *variant* is an id, name or value. Targets and rules stay and still come first,
    unless *clear_targeting*.

    Raises:
        FeatBitEditError: there is no such flag or variant, or several fit.
        ValueError: *at* is no ISO 8601 time with an offset.

    """

    def change(found: Json) -> None:
        found["isEnabled"] = True
        dispatch = {"includedInExpt": False}
        chosen = _variation_id(found, variant)
        found["fallthrough"] = {**dispatch, **rollout({chosen: 1}, None)}
        if clear_targeting:
            found["targetUsers"], found["rules"] = [], []

    return _edited(document, key, change, at=at)


def turn_off(document: Json, key: str, *, at: str) -> Json:
    """Turn flag *key* off: it serves its off variation to everyone.

    Raises:
        FeatBitEditError: there is no such flag.
        ValueError: *at* is no ISO 8601 time with an offset.

    """
    return _edited(document, key, lambda found: found.update(isEnabled=False), at=at)


def turn_on(document: Json, key: str, *, at: str) -> Json:
    """Turn flag *key* on, with the targets, rules and fallthrough that it has.

    Raises:
        FeatBitEditError: there is no such flag.
        ValueError: *at* is no ISO 8601 time with an offset.

    """
    return _edited(document, key, lambda found: found.update(isEnabled=True), at=at)


def set_values(
    document: Json, key: str, change: Callable[[str], str], *, at: str
) -> Json:
    """Change the value text of every variation of flag *key*, the off one too.

    Raises:
        FeatBitEditError: there is no such flag, or *change* returned no text.
        ValueError: *at* is no ISO 8601 time with an offset.

    """

    def apply(found: Json) -> None:
        for variation in found["variations"]:
            value = change(variation["value"])
            if not isinstance(value, str):
                what = type(value).__name__
                raise FeatBitEditError(
                    f'flag "{key}": a value must be text, not {what}'
                )
            variation["value"] = value

    return _edited(document, key, apply, at=at)


def _edited(
    document: Json, key: str, change: Callable[[Json], None], *, at: str
) -> Json:
    edited = copy.deepcopy(document)
    flags = edited["data"]["featureFlags"]
    live = {one["key"]: one for one in flags if not one.get("isArchived")}
    if key not in live:
        raise unknown("document", "flag", key, live)
    found = live[key]
    change(found)
    found["updatedAt"] = later(at, than=found["updatedAt"])
    return edited


def _variation_id(found: Json, wanted: str) -> str:
    variations = found["variations"]
    for field in ("id", "name", "value"):
        ids: list[str] = [v["id"] for v in variations if v.get(field) == wanted]
        if len(ids) == 1:
            return ids[0]
        if ids:
            problem = f'{field} "{wanted}" is that of {", ".join(ids)}'
            raise FeatBitEditError(f'flag "{found["key"]}": {problem}; give the id')
    names = [v.get("name") or v["id"] for v in variations]
    raise unknown(f'flag "{found["key"]}"', "variant", wanted, names)
