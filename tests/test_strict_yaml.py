"""Strict YAML into a model: what is refused is told with its line and key."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Literal, Self

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from openfeature_gov import strict_yaml as yaml
from openfeature_gov.errors import InvalidContractError


class Round(BaseModel):
    """One of two shapes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["round"]
    radius: int = 1


class Square(BaseModel):
    """The other; its size is checked as a whole."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["square"]
    sides: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _four(self) -> Self:
        if len(self.sides) != 4:
            raise ValueError("sides: a square has four")
        return self


class Drawing(BaseModel):
    """What a document holds below ``drawing``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    names: dict[Annotated[str, Field(max_length=3)], int] = Field(default_factory=dict)
    shapes: tuple[Annotated[Round | Square, Field(discriminator="kind")], ...] = ()


def read(text: str) -> tuple[list[Drawing | None], list[yaml.Problem]]:
    """Return the drawings of *text*, and what is wrong with it."""
    problems: list[yaml.Problem] = []
    found = [
        yaml.validated(
            *(document, path, data, Drawing.model_validate, problems),
            tags=frozenset({"round", "square"}),
        )
        for document in yaml.parse(text, "drawings.yaml")
        for path, data in yaml.entries(document, "drawing", problems)
    ]
    return found, problems


def test_one_entry_and_a_list_of_entries_are_read() -> None:
    """A list in YAML fits a tuple of the model."""
    text = "drawing:\n  shapes: [{kind: square, sides: [1, 1, 1, 1]}]\n"
    (one,), problems = read(text)
    assert not problems
    assert one == Drawing(shapes=(Square(kind="square", sides=(1, 1, 1, 1)),))
    assert read("drawing: [{}, {names: {a: 1}}]\n") == (
        [Drawing(), Drawing(names={"a": 1})],
        [],
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("drawing:\n  - 3\n", (2, "drawing[0]", "expected a mapping")),
        ("drawing:\n  shapes: 3\n", (2, "drawing.shapes", "expected a list")),
        (
            "drawing:\n  shapes:\n  - kind: round\n    size: 2\n",
            (4, "drawing.shapes[0].size", "unknown key"),
        ),
        (
            "drawing:\n  shapes:\n  - kind: square\n    sides: [1]\n",
            (4, "drawing.shapes[0].sides", "a square has four"),
        ),
        (
            "drawing:\n  names:\n    long: 1\n",
            (3, "drawing.names.long", "String should have at most 3 characters"),
        ),
        ("drawing: {}\nother: 1\n", (2, "other", "unknown key")),
        ('drawing: {}\n"": 1\n', (2, "", "unknown key")),
        ("other: 1\n", (1, "", "expected the key drawing")),
        ("3\n", (1, "", "expected the key drawing")),
    ],
)
def test_what_is_refused_is_told_with_line_and_key(
    text: str, problem: yaml.Problem
) -> None:
    """The key is that of the file: no tag of the model, no marker of its library."""
    assert read(text)[1] == [problem]


def test_bytes_that_are_no_text_are_refused() -> None:
    """Only the place is told, nothing of what stands there."""
    with pytest.raises(InvalidContractError) as caught:
        yaml.decoded(b"drawing: \xff", "drawings.yaml")
    assert caught.value.problems == [(0, "", "not UTF-8 at byte 9")]
    assert str(caught.value) == "drawings.yaml: not UTF-8 at byte 9"


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\ufffe"])
def test_a_character_that_yaml_does_not_take_is_named(character: str) -> None:
    """With its line, in one line and without it, whatever stands before it."""
    with pytest.raises(InvalidContractError) as caught:
        yaml.parse(f"drawing:\n  names: {{é: 1}}\n  shapes: {character}\n", "d.yaml")
    said = f"YAML takes no character U+{ord(character):04X}; remove it"
    assert caught.value.problems == [(3, "", said)]


def test_what_is_too_large_is_told_before_it_is_read_as_text() -> None:
    """Also where the bytes end within a character."""
    with pytest.raises(InvalidContractError) as caught:
        yaml.decoded("é".encode() * yaml.MAX_BYTES, "drawings.yaml")
    (problem,) = caught.value.problems
    assert problem == (0, "", f"larger than {yaml.MAX_BYTES} bytes")


DEEP = {
    "flow lists": "drawing:\n  shapes: " + "[" * 50_000,
    "flow mappings": "drawing:\n  shapes: " + "{shapes: " * 50_000,
    "block lists": "drawing:\n  shapes:\n  " + "- " * 50_000,
    "keys": "drawing:\n  ? " + "[" * 50_000,
}
READING = """
import sys
from openfeature_gov import strict_yaml
from openfeature_gov.errors import InvalidContractError
try:
    strict_yaml.parse(sys.stdin.read(), "drawings.yaml")
except InvalidContractError as error:
    print(error)
"""


@pytest.mark.parametrize("shape", DEEP)
def test_what_is_nested_deeply_is_refused_and_ends_no_process(shape: str) -> None:
    """Composing recurses in C: a process that tried it would end without a word."""
    done = subprocess.run(
        [sys.executable, "-c", READING],
        input=DEEP[shape],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("drawings.yaml:2: drawing", "drawings.yaml:3: draw"))
    assert "nested too deeply" in done.stdout


def test_the_deepest_that_is_read() -> None:
    """The limit counts the keys and indexes that lead to a value."""
    deepest = "[" * yaml.MAX_DEPTH + "a" + "]" * yaml.MAX_DEPTH
    assert len(yaml.parse(deepest, "drawings.yaml")) == 1
    with pytest.raises(InvalidContractError) as caught:
        yaml.parse(f"a:\n  {deepest}", "drawings.yaml")
    where = "a" + "[0]" * yaml.MAX_DEPTH
    assert caught.value.problems == [(2, where, "nested too deeply")]
