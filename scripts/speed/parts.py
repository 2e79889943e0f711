"""What each part of moving bytes costs by itself on this machine: processor seconds for a gigabyte of the
user's bytes, in one thread, with nothing around it.

A whole upload cannot cost less than the sum of its parts. What it costs more is what ties them together:
requests, threads, Python. Each figure is the least of several turns.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from grange.kernel import Codec, merkle_roots
from grange.seal import OrderKey
from grange.units import MAX_PIECE_BYTES, TAG_BYTES

TURNS = 5
PIECES_A_TURN = 32
GIGABYTE = 1_000_000_000


def parts(k: int, n: int, folder: Path) -> dict[str, dict[str, float]]:
    """By way and side, then by part. Writes into `folder`, as farmers and downloads would."""
    stretch, block = n / k, os.urandom(MAX_PIECE_BYTES - TAG_BYTES)
    key, blocks, codec = OrderKey(bytes(32)), [os.urandom(MAX_PIECE_BYTES)] * k, Codec(k, n)
    sealed, data = key.seal(0, block), os.urandom(MAX_PIECE_BYTES)
    reading = seconds_per_gb(lambda: _read(folder / "piece"), before=lambda: _write(folder / "piece", data))
    hashing = seconds_per_gb(lambda: merkle_roots([data]))
    writing = seconds_per_gb(lambda: _write(folder / "piece", data))
    sending, receiving = _loopback(data)
    return {
        "up, client": {
            "reading the file": reading,
            "sealing": seconds_per_gb(lambda: key.seal(0, block)),
            "opening again": seconds_per_gb(lambda: key.open(0, sealed)),
            "coding": seconds_per_gb(lambda: codec.parity(blocks)) / k,
            "hashing": hashing * stretch,
            "sending": sending * stretch,
        },
        "up, farmers": {
            "receiving": receiving * stretch,
            "hashing": hashing * stretch,
            "writing, fsync, rename": writing * stretch,
        },
        "down, farmers": {"reading": reading, "sending": sending},
        "down, client": {
            "receiving": receiving,
            "opening": seconds_per_gb(lambda: key.open(0, sealed)),
            "writing": writing,
        },
    }


def seconds_per_gb(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Processor seconds of this thread for a gigabyte of something that is done with a piece at a time."""
    before()
    least = float("inf")
    for _ in range(TURNS):
        begun = time.thread_time()
        for _ in range(PIECES_A_TURN):
            work()
        least = min(least, time.thread_time() - begun)
    return least / (PIECES_A_TURN * MAX_PIECE_BYTES) * GIGABYTE


def _write(path: Path, data: bytes) -> None:
    """As a farmer writes a piece."""
    path.unlink(missing_ok=True)
    aside = path.with_name("aside")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)
    aside.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def _read(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.pread(descriptor, MAX_PIECE_BYTES, 0)
    os.close(descriptor)


def _loopback(data: bytes) -> tuple[float, float]:
    """Of the side that sends, and of the one that receives into one buffer."""
    buffer = memoryview(bytearray(MAX_PIECE_BYTES))
    received = []
    with _connected() as (one, other):

        def receive() -> None:
            while one.recv_into(buffer):
                pass

        def measure() -> None:
            begun = time.thread_time()
            receive()
            received.append(time.thread_time() - begun)

        thread = threading.Thread(target=measure)
        thread.start()
        sending = seconds_per_gb(lambda: other.sendall(data))
        other.shutdown(socket.SHUT_WR)
        thread.join()
    return sending, received[0] / (TURNS * PIECES_A_TURN * MAX_PIECE_BYTES) * GIGABYTE


@contextmanager
def _connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as one,
        listening.accept()[0] as other,
    ):
        yield one, other
