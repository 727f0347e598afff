"""A TCP proxy in front of PostgreSQL that breaks one connection at a chosen commit.

It runs in threads of the test's own process. After its fault it passes everything on unchanged.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

_COMMIT = b"COMMIT\0"
_CHUNK_BYTES = 65536


class Fault(Enum):
    """What happens at a commit."""

    CUT_BEFORE = "the connection is cut before the COMMIT arrives"
    CUT_AFTER = "the COMMIT arrives, and the connection is cut when its answer passes"
    FREEZE_BEFORE = "the COMMIT never arrives, and the connection stays open"
    FREEZE_AFTER = "the COMMIT arrives, no answer comes, and the connection stays open"
    TRICKLE = "the answer to the COMMIT comes byte by byte, too slowly"


@dataclass(slots=True)
class _Link:
    client: socket.socket
    server: socket.socket
    frozen: bool = False
    cut_at_answer: bool = False
    slow: bool = False
    closed: threading.Event = field(default_factory=threading.Event)

    def cut(self) -> None:
        self.closed.set()
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Listens on 127.0.0.1; use it in a ``with`` block.

    Args:
        port: The server's port on 127.0.0.1.

    Attributes:
        port: The proxy's own port.
        fired: Whether the fault has happened since it was set.
        commits: How many commits were seen since then.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._links: list[_Link] = []
        self._fault: Fault | None = None
        self._at = 0
        self._also: Callable[[], None] = lambda: None
        self.fired = False
        self.commits = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for link in self._links:
            link.cut()

    def set(self, fault: Fault, at: int, also: Callable[[], None] = lambda: None) -> None:
        """Let something happen at a commit.

        Args:
            fault: What.
            at: Which commit from now on, counted from 1.
            also: What else is done at that moment, before the client sees it.
        """
        with self._lock:
            self._fault, self._at, self._also = fault, at, also
            self.fired, self.commits = False, 0

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(client, server)
            self._links.append(link)
            for work in (self._to_server, self._to_client):
                threading.Thread(target=self._guarded, args=(work, link), daemon=True).start()

    def _guarded(self, work: Callable[[_Link], None], link: _Link) -> None:
        with suppress(OSError):
            work(link)
        if not link.frozen:
            link.cut()

    def _to_server(self, link: _Link) -> None:
        while data := link.client.recv(_CHUNK_BYTES):
            fault = self._due(data)
            if fault is Fault.CUT_BEFORE:
                self._also()
                return
            if fault is Fault.CUT_AFTER:
                link.cut_at_answer = True
            elif fault in (Fault.FREEZE_BEFORE, Fault.FREEZE_AFTER):
                link.frozen = True
            elif fault is Fault.TRICKLE:
                link.slow = True
            if fault is Fault.FREEZE_BEFORE:
                self._also()
                return
            link.server.sendall(data)

    def _to_client(self, link: _Link) -> None:
        while data := link.server.recv(_CHUNK_BYTES):
            if link.cut_at_answer:
                self._also()
                return
            if link.frozen:
                continue
            if not link.slow:
                link.client.sendall(data)
                continue
            for byte in data:
                link.client.sendall(bytes([byte]))
                if link.closed.wait(0.3):
                    return

    def _due(self, data: bytes) -> Fault | None:
        if _COMMIT not in data:
            return None
        with self._lock:
            self.commits += 1
            if self._fault is None or self.commits != self._at:
                return None
            self.fired = True
            return self._fault
