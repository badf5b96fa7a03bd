"""The command tree of `gov`, and where an expected error ends as an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from openfeature_gov.cli import (
    agents,
    approvals,
    audit,
    budgets,
    decide,
    erasing,
    featbit,
    flags,
    forwarding,
    governance,
    init,
    kills,
    output,
    querying,
    rates,
    reporting,
    reviews,
    rollout,
    rollout_evidence,
    rollout_listening,
    runs,
    signals,
    tending,
)
from openfeature_gov.cli.exits import MEANING, code_of, text_of

LAZY = {
    "demo": "openfeature_gov.cli.demo",
    "mcp-gateway": "openfeature_gov.cli.gateway",
    "serve": "openfeature_gov.cli.serving",
    "verify": "openfeature_gov.cli.verify",
}
"""Commands whose modules are imported when they are asked for, by name."""
ORDER = (
    "init",
    "governance",
    "decide",
    "flags",
    "featbit",
    "approvals",
    "reviews",
    "agents",
    "budgets",
    "rates",
    "signals",
    "rollout",
    "serve",
    "mcp-gateway",
    "runs",
    "audit",
    "verify",
    "demo",
)


class Commands(TyperGroup):
    """The root command: knows the lazy commands and turns errors into exit codes."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return every command, in the order in which a new user needs them."""
        known = {*super().list_commands(ctx), *LAZY}
        return [name for name in ORDER if name in known]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command *cmd_name*, imported only now if it is a lazy one."""
        if cmd_name not in LAZY:
            return super().get_command(ctx, cmd_name)
        single = typer.Typer(add_completion=False)
        single.command(cmd_name)(_function(cmd_name))
        return typer.main.get_command(single)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that *args* begin with.

        Raises:
            click.UsageError: when there is none; it names those of that name in groups.

        """
        name, *_ = args
        if name not in {*self.commands, *LAZY} and not ctx.resilient_parsing:
            found = ", ".join(_named(name, self, ctx.command_path))
            if found:
                ctx.fail(f"No such command {name!r}. Did you mean: {found}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an expected error is one line on standard error.

        Raises:
            typer.Exit: with the code of the error.

        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except Exception as error:
            code = code_of(error)
            if code is None:
                raise
            output.complain(text_of(error))
            raise typer.Exit(code) from None


def _named(name: str, group: TyperGroup, path: str) -> Iterator[str]:
    """Yield each command *name* below *group* as it is typed; *path* leads there."""
    for one, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _named(name, command, f"{path} {one}")
        if one == name and not command.hidden:
            yield f"{path} {one}"


def _function(name: str) -> Any:
    return getattr(import_module(LAZY[name]), name.replace("-", "_"))


app = typer.Typer(
    name="gov",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
    epilog=MEANING,
)


def _version(wanted: bool) -> None:
    if wanted:
        try:
            release = metadata.version("openfeature-gov")
        except metadata.PackageNotFoundError:
            release = "(not installed)"
        typer.echo(f"gov {release}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Decide, with feature flags, what an AI agent may do right now, and show why."""


flags.app.command("kill")(kills.kill)
flags.app.command("unkill")(kills.unkill)
flags.app.command("lint")(tending.lint_flags)
rollout.app.command("compare")(rollout_evidence.compare)
rollout.app.command("signal")(rollout_evidence.signal)
rollout.app.command("listen")(rollout_listening.listen)
audit.app.command("query")(querying.query)
audit.app.command("tail")(querying.tail)
audit.app.command("lookup")(querying.lookup)
audit.app.command("erase")(erasing.erase)
audit.app.command("report")(reporting.report)
audit.app.command("findings")(reporting.findings)
audit.app.command("forward")(forwarding.forward)
app.command("init", cls=init.Init)(init.init)
app.command("decide")(decide.decide)
app.add_typer(flags.app, name="flags")
app.add_typer(featbit.app, name="featbit")
app.add_typer(approvals.app, name="approvals")
app.add_typer(reviews.app, name="reviews")
app.add_typer(agents.app, name="agents")
app.add_typer(budgets.app, name="budgets")
app.add_typer(rates.app, name="rates")
app.add_typer(signals.app, name="signals")
app.add_typer(rollout.app, name="rollout")
app.add_typer(runs.app, name="runs")
app.add_typer(audit.app, name="audit")
app.add_typer(governance.app, name="governance")
