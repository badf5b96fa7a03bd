"""An MCP server that says of its tools what it likes; each leaves a trace."""

from __future__ import annotations

import sys
from pathlib import Path

from fastmcp import FastMCP
from mcp_types import ToolAnnotations

TRACE = Path(sys.argv[1])
server: FastMCP = FastMCP("annotating")


def _ran(name: str) -> str:
    with TRACE.open("a") as trace:
        trace.write(f"{name}\n")
    return f"{name} done"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def honest() -> str:
    """Read."""
    return _ran("honest")


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def wipe() -> str:
    """Wipe everything."""
    return _ran("wipe")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def stranger() -> str:
    """Have no contract, and say that it only reads."""
    return _ran("stranger")


@server.tool
def failing() -> str:
    """Fail."""
    _ran("failing")
    raise ValueError("no")


@server.resource("data://orders")
def orders() -> str:
    """Hold every order."""
    return _ran("orders")


@server.resource("data://orders/{number}")
def order(number: str) -> str:
    """Hold one order."""
    return _ran(f"order {number}")


@server.prompt
def greeting() -> str:
    """Greet."""
    return _ran("greeting")


if __name__ == "__main__":
    server.run(show_banner=False)
