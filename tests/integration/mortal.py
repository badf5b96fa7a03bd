"""A simulated FeatBit in a process of its own, to be killed with -9 and born again.

Run ``python -W ignore -m tests.integration.mortal``. Prints its address as one line of
JSON. On ``live KEY...`` it serves, the named flags off; on ``die`` it is killed. The
ports are kept in between: who connects then waits for an answer that never comes.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.integration.featbit import flags


def serve(server: SimulatedFeatBit, off: list[str]) -> int:
    """Fork a process that serves until it is killed; return its id."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        for key in off:
            server.toggle(key, False)
        server.start()
        os.write(write, b".")
        signal.pause()
        os._exit(1)
    os.read(read, 1)
    return child


def main() -> None:
    """Obey the lines on standard input."""
    server, child = SimulatedFeatBit(flags()), 0
    address = {
        "streaming_url": server.streaming_url,
        "event_url": server.event_url,
        "server_secret": server.server_secret,
    }
    print(json.dumps(address), flush=True)
    for line in sys.stdin:
        command, *off = line.split()
        if command == "live":
            child = serve(server, off)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            child = 0
        print("done", flush=True)
    if child:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
