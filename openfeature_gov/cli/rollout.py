"""`gov rollout`: stage an agent's authority on evidence, and let it fall by itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output, rollout_view
from openfeature_gov.cli.carrying import By, DryRun, Reason, reason_of, signed_by
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.rollout_place import at_place, load_plans

if TYPE_CHECKING:
    from openfeature_gov_rollout.controller import Controller, Taken
    from openfeature_gov_rollout.looking import Look
    from openfeature_gov_rollout.moving import Moved

MEANING = (
    "Exit codes: 0 done, or ready for the next stage; 1 unexpected (a rollback that "
    "took effect but is not recorded yet is one); 2 wrong usage; 3 a file, database or "
    "server cannot be reached or read; 4 refused, a gate fails, or the rollout is "
    "locked, killed, altered or aborted; 5 waits for proof or for a person."
)
app = typer.Typer(
    no_args_is_help=True,
    help="Stage an agent's authority on evidence; it falls by itself.",
    epilog=MEANING,
)
Name = Annotated[str, typer.Argument(metavar="PLAN", help="Name of a plan.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[PLAN]...", help="Plans; default all.")
]
Override = Annotated[
    bool,
    typer.Option(
        "--override",
        help="Waive time, samples and gates that hold; the record says so. Nothing "
        "waives a kill, a lock, a hold or a gate that fails.",
    ),
]
GOOD = frozenset({"ready", "done"})
WAITING = frozenset({"proving", "held", "not begun"})


@app.command("plan")
@at_place
def plan(
    controller: Controller,
    *,
    against: Annotated[
        Path | None, typer.Option(help="An older plan file, to show what changed.")
    ] = None,
    as_json: output.Json = None,
) -> None:
    """Validate the plans, and show how they differ from what the flags say now.

    Exit 4 where somebody altered a flag, or a flag cannot hold its plan.
    """
    plans = [rollout_view.planned(one, controller) for one in controller.look()]
    data = {
        "target": controller.target.name,
        "plans": plans,
        "changes": []
        if against is None
        else rollout_view.changed(load_plans(against), controller.plans),
    }

    def render(console: Console) -> None:
        rollout_view.render_plan(console, data)

    output.show(data, render, as_json=as_json)
    if any(one["altered"] or one["refused"] for one in plans):
        raise typer.Exit(Exit.REFUSED)


@app.command("status")
@at_place
def status(
    controller: Controller, names: Names = None, *, as_json: output.Json = None
) -> None:
    """Show each rollout as a tree: stage, gates, and what stands in the way."""
    _shown(controller, controller.look(names or ()), as_json)


@app.command("check")
@at_place
def check(
    controller: Controller, names: Names = None, *, as_json: output.Json = None
) -> None:
    """Settle what a crash left behind, judge every gate, and say it by the exit code.

    Exit 0 when every rollout may go on or is done, 5 when one waits for proof or for
    a person, 4 when a gate fails or one is locked, killed, altered or aborted.
    """
    looks = controller.check(names or ())
    words = {one["status"] for one in _shown(controller, looks, as_json)}
    if not words <= GOOD | WAITING:
        raise typer.Exit(Exit.REFUSED)
    if not words <= GOOD:
        raise typer.Exit(Exit.PENDING)


def _shown(
    controller: Controller, looks: list[Look], as_json: bool | None
) -> list[dict[str, Any]]:
    from openfeature_gov_rollout import showing  # noqa: PLC0415 - slow to load

    found = [showing.status(one) for one in looks]
    data = {"target": controller.target.name, "rollouts": found}
    output.show(
        data, lambda console: rollout_view.render_status(console, data), as_json=as_json
    )
    return found


@app.command("advance")
@at_place
def advance(
    controller: Controller,
    name: Name,
    *,
    reason: Reason,
    override: Override = False,
    actor: By = None,
    dry_run: DryRun = False,
    as_json: output.Json = None,
) -> None:
    """Go on to the next stage, if every gate passes and you may sign off.

    Exit 4 with all that stands in the way, or when somebody else was faster.
    """
    by, why = _signed(actor, reason)
    if dry_run:
        _tried(controller, name, by, override, as_json)
        return
    moved = controller.advance(name, actor=by, reason=why, override=override)
    _told(name, moved, as_json)


def _tried(
    controller: Controller, name: str, actor: str, override: bool, as_json: bool | None
) -> None:
    """Show what an advance would change, or what stands in its way."""
    from openfeature_gov_rollout.states import may_advance  # noqa: PLC0415 - slow to load

    (look,) = controller.look([name])
    blocks = may_advance(look.situation, actor, override=override)
    data = {
        **rollout_view.planned(look, controller),
        "dryRun": True,
        "blocks": [{"why": one.why.value, "text": one.text} for one in blocks],
    }

    def render(console: Console) -> None:
        rollout_view.render_trial(console, data)

    output.show(data, render, as_json=as_json)
    if blocks or data["refused"]:
        raise typer.Exit(Exit.REFUSED)


@app.command("rollback")
@at_place
def rollback(
    controller: Controller,
    name: Name,
    *,
    reason: Reason,
    actor: By = None,
    as_json: output.Json = None,
) -> None:
    """Fall to the safest mode now, in one write; locks until somebody resumes.

    Waits for no evidence. Exit 1 when it took effect and could not be recorded.
    """
    _fall(controller, name, "rollback", actor, reason, as_json)


@app.command("abort")
@at_place
def abort(
    controller: Controller,
    name: Name,
    *,
    reason: Reason,
    actor: By = None,
    as_json: output.Json = None,
) -> None:
    """Fall to the safest mode now, and stay there until the plan itself is changed."""
    _fall(controller, name, "abort", actor, reason, as_json)


def _fall(
    controller: Controller,
    name: str,
    verb: str,
    actor: str | None,
    reason: str,
    as_json: bool | None,
) -> None:
    from openfeature_gov_rollout.stories import Verb  # noqa: PLC0415 - slow to load

    by, why = _signed(actor, reason)
    moved = controller.fall(name, Verb(verb), actor=by, reason=why)
    _told(name, moved, as_json)
    if moved.unrecorded:
        raise typer.Exit(Exit.UNEXPECTED)


@app.command("hold")
@at_place
def hold(
    controller: Controller,
    name: Name,
    *,
    reason: Reason,
    actor: By = None,
    as_json: output.Json = None,
) -> None:
    """Keep a rollout where it is until somebody resumes; it may still fall."""
    by, why = _signed(actor, reason)
    record = controller.hold(name, actor=by, reason=why)
    _noted("॥ held", name, record, by, why, as_json)


@app.command("resume")
@at_place
def resume(
    controller: Controller,
    name: Name,
    *,
    reason: Reason,
    actor: By = None,
    as_json: output.Json = None,
) -> None:
    """End a hold or a pause, and acknowledge a fall; the flag stays as it is."""
    by, why = _signed(actor, reason)
    record = controller.resume(name, actor=by, reason=why)
    _noted("✔ resumed", name, record, by, why, as_json)


@app.command("history")
@at_place
def history(controller: Controller, name: Name, *, as_json: output.Json = None) -> None:
    """Explain every step of a rollout from the records alone."""
    from openfeature_gov_rollout import showing  # noqa: PLC0415 - slow to load

    data = {"plan": name, "events": showing.history(controller.story(name))}
    output.show(
        data,
        lambda console: rollout_view.render_history(console, data),
        as_json=as_json,
    )


@app.command("cleanup")
@at_place
def cleanup(
    controller: Controller, names: Names = None, *, as_json: output.Json = None
) -> None:
    """Propose what can be removed, with the commands that do it; removes nothing."""
    from openfeature_gov_rollout import lifecycle  # noqa: PLC0415 - slow to load

    looks = controller.look(names or ())
    held = controller.target.read()
    found = lifecycle.proposals(looks, held, controller.plans, rollout_view.today())
    data = {"proposals": [one.facts for one in found]}
    output.show(
        data,
        lambda console: rollout_view.render_cleanup(console, data),
        as_json=as_json,
    )


@app.command("watch")
@at_place
def watch(
    controller: Controller,
    names: Names = None,
    *,
    interval: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two evaluations.")
    ] = 60.0,
    once: Annotated[
        bool, typer.Option("--once", help="One evaluation, then exit: for cron.")
    ] = False,
    as_json: output.Json = None,
) -> None:
    """Evaluate again and again, and do what is due: fall, hold, pause, advance.

    It advances by itself only where a plan asks nobody to sign off. With --once the
    exit code says if something could not be done (4).
    """
    while True:
        taken = _round(controller, names or [], as_json, once=once)
        if once:
            raise typer.Exit(
                Exit.REFUSED if any(one.error for one in taken) else Exit.OK
            )
        time.sleep(interval)


def _round(
    controller: Controller, names: list[str], as_json: bool | None, *, once: bool
) -> list[Taken]:
    """Evaluate once; what keeps a daemon from it is told, and tried anew."""
    from openfeature_gov.cli.exits import code_of, text_of  # noqa: PLC0415 - beside use

    try:
        taken = controller.tick(names)
    except Exception as error:
        if once or code_of(error) is None or code_of(error) is Exit.USAGE:
            raise
        output.warn(text_of(error))
        return []
    for one in taken:
        data, text = rollout_view.taken(one)
        if one.step.verb is not None or one.error or once:
            output.line(data, text, as_json=as_json)
    return taken


@app.command("report")
@at_place
def report(
    controller: Controller,
    names: Names = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")],
    as_json: output.Json = None,
) -> None:
    """Write one self-contained HTML page: timeline, decisions, gates, transitions."""
    from openfeature_gov_rollout.reporting import page  # noqa: PLC0415 - slow to load

    html = page(controller, names or ())
    out.write_text(html, "utf-8")
    data = {"file": str(out), "bytes": len(html.encode())}
    output.show(
        data,
        lambda console: console.print(Text(f"✔ wrote {out}", "green")),
        as_json=as_json,
    )


def _signed(actor: str | None, reason: str) -> tuple[str, str]:
    return signed_by(actor), reason_of(reason)


def _told(name: str, moved: Moved, as_json: bool | None) -> None:
    data = {
        "plan": name,
        "verb": moved.verb.value,
        "from": moved.start,
        "to": moved.place.stage,
        "transition": moved.transition or None,
        "unrecorded": moved.unrecorded or None,
        "notes": list(moved.notes),
    }
    for one in (*moved.notes, *([moved.unrecorded] if moved.unrecorded else [])):
        output.warn(one)

    def render(console: Console) -> None:
        rollout_view.render_move(console, data)

    output.show(data, render, as_json=as_json)


def _noted(
    told: str, name: str, record: str, actor: str, reason: str, as_json: bool | None
) -> None:
    data = {"plan": name, "record": record, "actor": actor, "reason": reason}

    def render(console: Console) -> None:
        console.print(Text(told, "bold"), output.safe(name))
        output.facts(console, [(key, str(one)) for key, one in data.items()][1:])

    output.show(data, render, as_json=as_json)
