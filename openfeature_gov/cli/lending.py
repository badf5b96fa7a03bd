"""Give commands the options of a function, and what it makes of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

Command = Callable[..., Any]


def lent(make: Callable[..., Any], **unloaded: Any) -> Callable[[Command], Command]:
    """Return a decorator: its command gets what *make* makes as its first argument.

    The command line then has the options of the command, and after them those of
    *make*, which may be such a command itself. *unloaded* are types that only
    annotations name.
    """
    shared = inspect.signature(make).parameters.values()

    def decorate(command: Command) -> Command:
        first, *own = inspect.signature(command).parameters.values()
        hints = {
            **get_type_hints(make, localns=unloaded, include_extras=True),
            **get_type_hints(command, localns=unloaded, include_extras=True),
        }
        parameters = [
            *(one for one in shared if one.name == "context"),
            *own,
            *(one for one in shared if one.name != "context"),
        ]

        def run(**given: Any) -> Any:
            made = make(**{one.name: given.pop(one.name) for one in shared})
            return command(made, **given)

        hints.pop(first.name, None)
        hints.pop("return", None)
        # What typer reads of a command: its name, its help, its options.
        read: Any = run
        read.__signature__ = inspect.Signature(
            [one.replace(annotation=hints[one.name]) for one in parameters]
        )
        read.__annotations__ = hints
        read.__name__, read.__doc__ = command.__name__, command.__doc__
        return run

    return decorate
