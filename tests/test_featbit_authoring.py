"""Building, editing and storing flag documents."""

import copy
import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openfeature.contrib.provider.featbit import (
    FeatBitDataError,
    FeatBitEditError,
    read_snapshot,
    write_document,
)
from openfeature.contrib.provider.featbit.authoring import (
    UNCHANGED,
    Json,
    boolean_flag,
    condition,
    document,
    json_flag,
    number_flag,
    rule,
    segment,
    segment_condition,
    serve,
    set_values,
    string_flag,
    turn_off,
    turn_on,
)
from openfeature.contrib.provider.featbit.timestamps import microseconds

AT = "2026-02-03T04:05:06.789Z"
MODES = ["off", "observe", "autonomous"]
DOCUMENT = document(
    [
        string_flag(
            "mode",
            MODES,
            serve="observe",
            off="off",
            targets={"autonomous": ["root"]},
            rules=[rule("r", [condition("env", "Equal", "dev")], serve="autonomous")],
        ),
        boolean_flag("kill", serve=False, off=True),
        number_flag("limit", {"low": 1, "high": 2.5}, serve="low", off="low"),
        json_flag("deny", {"some": ["shell"], "none": []}, serve="some", off="none"),
        {**boolean_flag("gone", serve=True), "isArchived": True},
    ]
)


def value(doc: Json, key: str, user: str = "u", **attributes: str) -> object:
    """Evaluate one flag of *doc*."""
    answer = read_snapshot(json.dumps(doc)).evaluate(key, user, attributes)
    assert answer is not None
    return answer.value


def found(doc: Json, key: str) -> Json:
    """Return the dict of one flag."""
    (flag,) = (one for one in doc["data"]["featureFlags"] if one["key"] == key)
    assert isinstance(flag, dict)
    return flag


@pytest.mark.parametrize(
    ("key", "expected"),
    [("mode", "observe"), ("kill", False), ("limit", 1), ("deny", ["shell"])],
)
def test_built_flags_serve_what_they_were_built_with(
    key: str, expected: object
) -> None:
    """Each builder makes a flag that loads and serves its variant."""
    assert value(DOCUMENT, key) == expected


def test_a_variant_is_called_by_its_name() -> None:
    """The variation id, which becomes the variant, is the readable name."""
    answer = read_snapshot(json.dumps(DOCUMENT)).evaluate("mode", "u", {})
    assert answer is not None
    assert (answer.variant, answer.metadata["variationName"]) == ("observe", "observe")


def test_shares_are_laid_end_to_end() -> None:
    """Ten shares of a tenth, which do not add up as doubles, cover [0, 1]."""
    names = [f"v{n}" for n in range(10)]
    tenths = rule("r", [], serve=dict.fromkeys(names, 0.1), dispatch_key="account")
    flag = string_flag("f", names, serve="v0", off="v0", rules=[tenths])
    users = [str(n) for n in range(400)]
    served = {value(document([flag]), "f", account=user) for user in users}
    assert served == set(names)


@pytest.mark.parametrize(
    "shares", [{"a": 0.5}, {"a": 0.9, "b": 0.2}, {"a": 2, "b": -1}]
)
def test_shares_that_are_not_one_are_refused(shares: dict[str, float]) -> None:
    """Shares below or above one in sum, or negative, make no rule."""
    with pytest.raises(FeatBitEditError, match='rule "r"'):
        rule("r", [], serve=shares)


def test_segments_and_their_conditions_load() -> None:
    """A flag on a built segment sees included, excluded and ruled users."""
    gold = segment(
        "gold",
        included=["a"],
        excluded=["b"],
        rules=[[condition("tier", "IsOneOf", ["gold"])]],
    )
    inside = [rule("r", [segment_condition(["gold"])], serve="true")]
    doc = document([boolean_flag("f", serve=False, rules=inside)], [gold])
    assert value(doc, "f", "a") is True
    assert value(doc, "f", "b", tier="gold") is False
    assert value(doc, "f", "c", tier="gold") is True


@pytest.mark.parametrize(
    "build",
    [
        lambda: string_flag("f", ["a"], serve="x", off="a"),
        lambda: string_flag("f", ["a"], serve="a", off="x"),
        lambda: string_flag("f", ["a"], serve="a", off="a", targets={"x": ["u"]}),
    ],
)
def test_building_with_an_unknown_variant_is_refused(
    build: Callable[[], Json],
) -> None:
    """The error names the flag, what was asked for and what there is."""
    with pytest.raises(FeatBitEditError, match=r'flag "f": no variant "x".*: a'):
        build()


EDITS: dict[str, Callable[[Json, str, str], Json]] = {
    "serve": lambda doc, key, at: serve(doc, key, "off", at=at),
    "turn_off": lambda doc, key, at: turn_off(doc, key, at=at),
    "turn_on": lambda doc, key, at: turn_on(doc, key, at=at),
    "set_values": lambda doc, key, at: set_values(doc, key, str, at=at),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_leaves_its_argument_alone(name: str) -> None:
    """Every edit returns a new document; only the one flag differs, in its version."""
    before = copy.deepcopy(DOCUMENT)
    after = EDITS[name](DOCUMENT, "mode", AT)
    assert before == DOCUMENT
    assert found(after, "mode")["updatedAt"] == AT
    for key in ("kill", "limit", "deny", "gone"):
        assert found(after, key) == found(before, key)


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("key", ["nope", "gone"])
def test_editing_an_unknown_or_archived_flag_is_refused(name: str, key: str) -> None:
    """The error names the flag and those that there are."""
    with pytest.raises(FeatBitEditError, match=f'"{key}".*deny, kill, limit, mode'):
        EDITS[name](DOCUMENT, key, AT)


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("at", ["", "now", "2026-01-01T00:00:00"])
def test_an_edit_needs_a_time_with_an_offset(name: str, at: str) -> None:
    """A time that depends on the local zone is no version."""
    with pytest.raises(ValueError, match=r"offset|Invalid isoformat"):
        EDITS[name](DOCUMENT, "mode", at)


@given(st.datetimes(), st.datetimes(), st.sampled_from(sorted(EDITS)))
def test_every_edit_is_a_later_version(old: object, at: object, name: str) -> None:
    """Whatever the clock says, the version rises by a whole millisecond or more."""
    doc = copy.deepcopy(DOCUMENT)
    before = found(doc, "mode")["updatedAt"] = f"{old:%Y-%m-%dT%H:%M:%S.%f}Z".zfill(27)
    moment = f"{at:%Y-%m-%dT%H:%M:%S.%f}Z".zfill(27)
    try:
        after = found(EDITS[name](doc, "mode", moment), "mode")["updatedAt"]
    except OverflowError:
        assert max(before, moment) > "9999-12-31T23:59:59.99"
        return
    assert microseconds(after) // 1000 > microseconds(before) // 1000
    # The SDK rounds where the server cuts off: both must see a later version.
    assert round(microseconds(after) / 1000) > round(microseconds(before) / 1000)


@pytest.mark.parametrize("clear", [True, False])
def test_serve_keeps_targeting_unless_told(clear: bool) -> None:
    """The fallthrough serves the variant; targets and rules go only on request."""
    doc = serve(
        turn_off(DOCUMENT, "mode", at=AT), "mode", "off", at=AT, clear_targeting=clear
    )
    assert value(doc, "mode") == "off"
    kept = "off" if clear else "autonomous"
    assert value(doc, "mode", "root") == kept
    assert value(doc, "mode", env="dev") == kept


def test_serve_finds_a_variant_by_id_name_or_value() -> None:
    """The id wins over the name, the name over the value."""
    flag = string_flag("f", {"b": "c", "c": "a", "a": "x"}, serve="b", off="b")
    for index, variation in enumerate(flag["variations"]):
        variation["id"] = f"id-{index}"
    doc = document([{**flag, "disabledVariationId": "id-0"}])
    for wanted, served in [("id-1", "a"), ("c", "a"), ("x", "x"), ("b", "c")]:
        assert value(serve(doc, "f", wanted, at=AT), "f") == served


def test_serve_refuses_what_is_unknown_or_fits_twice() -> None:
    """The error names the flag, and the variants or the ids that fit."""
    with pytest.raises(FeatBitEditError, match=r'no variant "x"; .*observe'):
        serve(DOCUMENT, "mode", "x", at=AT)
    doc = document([string_flag("f", {"a": "v", "b": "v"}, serve="a", off="a")])
    with pytest.raises(FeatBitEditError, match=r'flag "f": value "v" .* a, b'):
        serve(doc, "f", "v", at=AT)


def test_turning_off_and_on_again_gives_the_same_answers() -> None:
    """Off serves the off variation; on restores what was served."""
    off = turn_off(DOCUMENT, "mode", at=AT)
    assert value(off, "mode", "root") == "off"
    on = turn_on(off, "mode", at=AT)
    for user in ("u", "root"):
        assert value(on, "mode", user) == value(DOCUMENT, "mode", user)


def test_a_tool_can_be_denied_in_every_variation() -> None:
    """Every value changes, so the tool is denied whichever variation is served."""

    def add(text: str) -> str:
        return json.dumps([*json.loads(text), "sql"])

    doc = set_values(DOCUMENT, "deny", add, at=AT)
    assert value(doc, "deny") == ["shell", "sql"]
    assert value(turn_off(doc, "deny", at=AT), "deny") == ["sql"]


def test_set_values_wants_text() -> None:
    """A change that returns something else is refused with the flag's key."""
    with pytest.raises(FeatBitEditError, match=r'flag "deny".*list'):
        set_values(DOCUMENT, "deny", json.loads, at=AT)


def test_an_unedited_flag_has_a_version() -> None:
    """The default time of a built flag is one that readers accept."""
    answer = read_snapshot(json.dumps(DOCUMENT)).evaluate("kill", "u", {})
    assert answer is not None
    assert answer.metadata["version"] == microseconds(UNCHANGED) // 1000


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    """The file holds the document; the revision returned is that of its bytes."""
    path = tmp_path / "flags.json"
    revision = write_document(path, DOCUMENT)
    assert json.loads(path.read_bytes()) == DOCUMENT
    assert read_snapshot(path.read_bytes()).revision == revision


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"messageType": "data-sync", "data": {}},
        document(
            [
                string_flag("f", {"a": "x"}, serve="a", off="a")
                | {"variationType": "number"}
            ]
        ),
        document([boolean_flag("f", serve=True), boolean_flag("f", serve=True)]),
        {**DOCUMENT, "x": object()},
        {**DOCUMENT, "x": "\ud800"},
    ],
)
def test_a_bad_document_never_lands(tmp_path: Path, bad: Json) -> None:
    """What a provider would refuse leaves the file as it was, and nothing beside it."""
    path = tmp_path / "flags.json"
    write_document(path, DOCUMENT)
    before = path.read_bytes()
    with pytest.raises(FeatBitDataError, match=r"flags\.json: not written"):
        write_document(path, bad)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    """An existing file keeps its mode, and a link to it still is one."""
    path, link = tmp_path / "flags.json", tmp_path / "link.json"
    write_document(path, DOCUMENT)
    path.chmod(0o640)
    link.symlink_to(path)
    write_document(link, turn_off(DOCUMENT, "mode", at=AT))
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert value(json.loads(path.read_text()), "mode") == "off"


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    """Nothing is created on the way."""
    with pytest.raises(OSError, match="No such file"):
        write_document(tmp_path / "none" / "flags.json", DOCUMENT)


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    """While documents are replaced, every read is one whole document."""
    path = tmp_path / "flags.json"
    write_document(path, DOCUMENT)
    stop, faults = threading.Event(), list[Exception]()

    def read() -> None:
        while not stop.is_set():
            try:
                read_snapshot(path.read_bytes())
            except (OSError, FeatBitDataError) as error:
                faults.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for name in MODES * 10:
        write_document(path, serve(DOCUMENT, "mode", name, at=AT))
    stop.set()
    reader.join(10)
    assert not faults
