"""Who is told where: the file, what it refuses, and what it never says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.approvals.channels import Channel, is_safe, load_channels
from openfeature_gov.errors import InvalidContractError

CANARY = "T0PS3CRET"
SECRET = f"{CANARY}-of-sixteen-bytes"


def write(folder: Path, text: str) -> Path:
    """Write the file, and a secret beside it."""
    for name, content in (("channels.yaml", text), ("secret", SECRET + "\n")):
        (folder / name).write_text(content)
        (folder / name).chmod(0o600)
    return folder / "channels.yaml"


def refused(folder: Path, text: str) -> str:
    """Return why the file is refused; never a word of what must not be seen."""
    with pytest.raises(InvalidContractError) as error:
        load_channels(write(folder, text))
    assert CANARY not in str(error.value)
    return str(error.value).removeprefix(str(folder))


def test_channels_are_read(tmp_path: Path) -> None:
    """A URL of apprise or a signed webhook, named after the group or itself."""
    text = f"""
channels:
  - {{group: support, url: "slack://{CANARY}"}}
  - {{group: support, name: support-2, webhook: https://gov.example/{CANARY},
      secretFile: secret}}
  - {{group: "Ann <ann@example.com>", name: ann, url: "mailto://{CANARY}"}}
"""
    found = load_channels(write(tmp_path, text))
    assert found == (
        Channel("support", "support", url=f"slack://{CANARY}"),
        Channel(
            "support-2",
            "support",
            webhook=f"https://gov.example/{CANARY}",
            secret=SECRET.encode(),
        ),
        Channel("ann", "Ann <ann@example.com>", url=f"mailto://{CANARY}"),
    )
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("{url: CANARY}", "channels[0].group: missing"),
        ("{group: a}", "channels[0]: needs either url, or webhook and secretFile"),
        ("{group: a, url: CANARY, webhook: 'https://CANARY'}", "needs either"),
        ("{group: a, url: CANARY, secretFile: secret}", "go together"),
        ("{group: a, webhook: 'https://CANARY'}", "go together"),
        ("{group: a, url: [CANARY]}", "channels[0].url: "),
        ("{group: a, url: 7}", "channels[0].url: "),
        ("{group: a, url: ' CANARY'}", "without outer blanks"),
        ('{group: a, url: "CANARY\\n"}', "printable line"),
        ("{group: a, url: ''}", "channels[0].url: "),
        ("{group: '', url: CANARY}", "channels[0].group: "),
        ("{group: a, url: CANARY, CANARY: 1}", "unknown key; known are name, group"),
        ("{group: a b, url: CANARY}", "needs a name"),
        ("{group: a, name: ../a, url: CANARY}", "needs a name"),
        ("{group: a, name: a.b, url: CANARY}", "needs a name"),
        ("{group: a, secret: CANARY, url: x}", "unknown key"),
        ("CANARY", "channels[0]: expected a mapping"),
        ("{group: a, webhook: 'http://CANARY/', secretFile: secret}", "https://"),
        ("{group: a, webhook: 'https://u:CANARY@x/', secretFile: secret}", "https://"),
        ("{group: a, webhook: 'https://', secretFile: secret}", "https://"),
        ("{group: a, webhook: 'file:///CANARY', secretFile: secret}", "https://"),
        ("{group: a, webhook: 'https://x:CANARY/', secretFile: secret}", "https://"),
    ],
)
def test_a_wrong_channel_is_refused(tmp_path: Path, entry: str, why: str) -> None:
    """With its line, and with nothing of what it says."""
    text = f"channels:\n  - {entry.replace('CANARY', CANARY)}\n"
    said = refused(tmp_path, text)
    assert said.startswith("/channels.yaml:2: channels[0]")
    assert why in said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "channels: []",
        "channels: CANARY",
        "- CANARY",
        "CANARY: 1\nchannels: [{group: a, url: b}]",
        "channels: [{group: a, url: b}]\n---\nchannels: []",
        "channels: [{group: a, url: *CANARY}]",
        "channels: [{group: a, url: CANARY, url: CANARY}]",
        "channels: [{group: a, CANARY: 1, CANARY: 1}]",
        "channels: [{group: a, url: 'CANARY}]",
        "channels: [{group: a, url: !CANARY x}]\n  CANARY: 1",
        "channels:\n\t- CANARY",
    ],
)
def test_what_is_no_list_of_channels_is_refused(tmp_path: Path, text: str) -> None:
    """Nor is it quoted."""
    assert refused(tmp_path, text.replace("CANARY", CANARY)).startswith("/channels.y")


def test_two_channels_of_one_name_are_refused(tmp_path: Path) -> None:
    """They would share a cursor; a file system may know no capitals."""
    text = (
        "channels:\n  - {group: a, url: x}\n  - {group: b, url: y}\n"
        "  - {group: A, url: z}\n  - {group: c, name: b, url: z}\n"
    )
    name = tmp_path / "channels.yaml"
    assert refused(tmp_path, text).splitlines() == [
        "/channels.yaml:4: channels[2].name: duplicate, of the channel on line 2",
        f"{name}:5: channels[3].name: duplicate, of the channel on line 3",
    ]


@pytest.mark.parametrize("name", ["channels.yaml", "secret"])
@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o601])
def test_files_that_others_may_read_are_refused(
    tmp_path: Path, name: str, mode: int
) -> None:
    """They hold what opens a channel."""
    path = write(
        tmp_path,
        "channels: [{group: a, webhook: 'https://x', secretFile: secret}]",
    )
    (tmp_path / name).chmod(mode)
    with pytest.raises(InvalidContractError, match=f"{name}: others may read"):
        load_channels(path)
    (tmp_path / name).chmod(0o640)
    assert len(load_channels(path)) == 1


def test_a_secret_must_be_one(tmp_path: Path) -> None:
    """Long, and there."""
    text = "channels: [{group: a, webhook: 'https://x', secretFile: secret}]"
    path = write(tmp_path, text)
    (tmp_path / "secret").write_text(f"  {CANARY}\n")
    with pytest.raises(InvalidContractError, match="secretFile: holds no") as error:
        load_channels(path)
    assert CANARY not in str(error.value)
    (tmp_path / "secret").unlink()
    with pytest.raises(FileNotFoundError):
        load_channels(path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    """By its place alone."""
    path = write(tmp_path, "")
    path.write_bytes(b"channels: \xff" + CANARY.encode())
    with pytest.raises(InvalidContractError, match="not UTF-8 at byte 10"):
        load_channels(path)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://gov.example", True),
        ("https://gov.example:8443/a", True),
        ("http://127.0.0.1:1/a", True),
        ("http://[::1]:1/a", True),
        ("http://localhost/a", True),
        ("http://gov.example", False),
        ("http://127.0.0.1.example", False),
        ("https://user@gov.example", False),
        ("https://gov.example:x", False),
        ("https://[", False),
        ("https://gov.example/\n", False),
        ("gov.example", False),
        ("", False),
    ],
)
def test_a_url_is_safe_where_nobody_can_read_along(url: str, safe: Any) -> None:
    """By https, or on this machine."""
    assert is_safe(url) is safe
