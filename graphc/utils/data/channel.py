"""The channel between a loader and a worker: objects through a socket, arrays without a copy in
between.

A message is a pickle, followed by the memory of the arrays in it where the sender owns them. Both
ends are processes of one program. Invariant: receiving never blocks on a peer that is gone.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from ...native import library

_HEAD = struct.Struct("<Q")         # the number of buffers
_SIZE = struct.Struct("<Q")
_SMALL = 4096                       # arrays below this travel inside the pickle


def pack(obj: Any, own: bool) -> list:
    """The parts of a message. own: arrays belong to the sender alone and need no copy until they
    are sent."""
    if not own:
        return _framed(pickle.dumps(obj, 5), [])
    buffers: list = []

    def collect(b: pickle.PickleBuffer) -> bool:
        raw = b.raw()
        if raw.nbytes < _SMALL:
            return True             # in band
        buffers.append(raw)
        return False
    return _framed(pickle.dumps(obj, 5, buffer_callback=collect), buffers)


def _framed(body: bytes, buffers: list) -> list:
    sizes = b"".join(_SIZE.pack(n) for n in (len(body), *(b.nbytes for b in buffers)))
    return [_HEAD.pack(len(buffers)) + sizes + body, *buffers]


def send(sock: socket.socket, parts: list) -> None:
    """Sends a packed message; blocks while the other end does not read."""
    for part in parts:
        sock.sendall(part)


class Reader:
    """Reads messages from a socket. `wait` is called whenever nothing is there, and raises to give
    up."""

    def __init__(self, sock: socket.socket):
        self.sock = sock

    def ready(self) -> bool:
        """Whether something has arrived (or the peer is gone)."""
        try:
            self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def _fill(self, view: memoryview, wait: Callable[[], None]) -> None:
        at, n = 0, view.nbytes
        while at < n:
            try:
                got = self.sock.recv_into(view[at:], 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                wait()
                continue
            if not got:
                raise EOFError
            at += got

    def _bytes(self, n: int, wait: Callable[[], None]) -> bytearray:
        out = bytearray(n)
        self._fill(memoryview(out), wait)
        return out

    def receive(self, wait: Callable[[], None]) -> Any:
        """The next message. EOFError when the peer closed its end."""
        (count,) = _HEAD.unpack(self._bytes(_HEAD.size, wait))
        sizes = [s for (s,) in _SIZE.iter_unpack(self._bytes(_SIZE.size * (count + 1), wait))]
        body = self._bytes(sizes[0], wait)
        arrays = []
        for n in sizes[1:]:
            a = library.empty((n,), np.dtype(np.uint8))
            self._fill(memoryview(a.data), wait)
            arrays.append(a)
        return pickle.loads(body, buffers=arrays)
