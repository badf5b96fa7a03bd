"""The articles' business rules: built-in guardrails and Cedar say the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples import business_rules as rules
from tests.full import share
from tests.tree import PATH, ROOT


@pytest.mark.parametrize(
    ("article", "tool", "case", "effect"),
    rules.EDGES,
    ids=[f"{n}-{edge[1]}-{edge[3]}" for n, edge in enumerate(rules.EDGES)],
)
def test_the_edges_are_where_the_articles_put_them(
    article: str, tool: str, case: dict[str, object], effect: str
) -> None:
    """Exactly at a limit and one cent above it, in both forms."""
    (pair,) = [one for one in rules.pairs() if one.article == article]
    action = pair.action(tool, case)
    assert pair.builtin.judged(action).effect == effect
    assert pair.cedar.judged(action).effect == effect


def test_10000_generated_cases_are_judged_alike() -> None:
    """No case is judged differently, and every effect comes up often."""
    count = share(10_000)
    effects, differing = rules.compare(count, seed=11)
    assert differing == []
    assert effects.total() == count
    rarest = min(effects[name] for name in ("allow", "deny", "queue_for_approval"))
    assert rarest > count // 40


def test_a_difference_is_found_and_is_an_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Were one limit a dollar higher in one form, the comparison would say so."""
    shutil.copytree(rules.RULES, tmp_path, dirs_exist_ok=True)
    text = (tmp_path / "support.yaml").read_text("utf-8")
    higher = text.replace("above: 1000", "above: 1001")
    assert higher != text
    (tmp_path / "support.yaml").write_text(higher, "utf-8")
    monkeypatch.setattr(rules, "RULES", tmp_path)
    assert rules.main(["--cases", "400"]) == 1
    told = capsys.readouterr()
    assert "issue_refund" in told.err
    assert " 0 differ" not in told.out


def test_the_example_runs_with_one_command() -> None:
    """Without a mismatch it exits 0 and says so."""
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "examples" / "business_rules.py"),
            "--cases",
            "200",
        ],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={
            **os.environ,
            "PYTHONPATH": PATH,
        },
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "200 generated cases" in done.stdout
    assert "0 differ" in done.stdout
