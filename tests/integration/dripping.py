"""An HTTP server whose answers never end: a byte now and then keeps them alive."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

EVERY_S = 0.1


class Dripping:
    """Count the requests to one loopback port, and answer each drop by drop.

    Already the headers drip if *from_the_start*.
    """

    def __init__(self, *, from_the_start: bool = False) -> None:
        self._from_the_start = from_the_start
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.requests = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                peer, _ = self._socket.accept()
                self._threads.append(threading.Thread(target=self._drip, args=(peer,)))
                self._threads[-1].start()

    def _drip(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            peer.recv(10_000)
            self.requests += 1
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n")
            if not self._from_the_start:
                peer.sendall(b"\r\n")
            while not self._over.wait(EVERY_S):
                peer.sendall(b" ")
