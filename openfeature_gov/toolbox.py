"""The registered tools of a Governor: each by one name, under one contract."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from typing import Any

from openfeature_gov.errors import RegistrationError
from openfeature_gov.governance import TOOL_NAME, Governance, GovernanceContract
from openfeature_gov.reviewing import check
from openfeature_gov.tools import Function, Tool


class Toolbox:
    """Take tools into *tools*, by name. Lives with its Governor, safe to share.

    *reviewed* says that people are known who look at what ran.
    """

    def __init__(
        self, governance: Governance, tools: dict[str, Tool], *, reviewed: bool
    ) -> None:
        self._governance, self._tools, self._reviewed = governance, tools, reviewed
        self._lock = threading.Lock()

    def add(self, tool: Tool) -> GovernanceContract:
        """Register *tool*; return its contract.

        Raises:
            RegistrationError: for a name that is taken or has no governance contract,
                and for a contract whose review could not happen.

        """
        if not TOOL_NAME.fullmatch(tool.name) or tool.name not in self._governance:
            raise RegistrationError(
                f"{tool.name!r}: no governance contract names this tool; add one to "
                "the governance file"
            )
        rules = self._governance.contracts[tool.name]
        check(tool, rules, kept=self._reviewed)
        with self._lock:
            if tool.name in self._tools:
                raise RegistrationError(f"{tool.name!r} is registered already")
            self._tools[tool.name] = tool
        return rules


def refuse_injected(tool: Tool | None, injected: Mapping[str, Any] | None) -> None:
    """Refuse parameters that are not registered as *injected*.

    Raises:
        RegistrationError: when there are some.

    """
    if tool is not None and injected and not injected.keys() <= tool.injected:
        raise RegistrationError(f"{tool.name}: not registered as injected")


def refuse_async(tool: Tool | None) -> None:
    """Refuse a tool that nobody awaits here.

    Raises:
        RegistrationError: when it is async.

    """
    if tool is not None and inspect.iscoroutinefunction(tool.function):
        raise RegistrationError(f"{tool.name} is async; use the async twin")


def elsewhere(**_: Any) -> Any:
    """Stand for the function of a foreign tool, which nobody here may run.

    Raises:
        RegistrationError: always.

    """
    raise RegistrationError("this tool is foreign: only an adapter runs it")


def name_of(function: Function) -> str:
    """Return the name of a function, for a tool that is given none.

    Raises:
        RegistrationError: when it has none.

    """
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        raise RegistrationError("the function has no name; give the tool's")
    return name
