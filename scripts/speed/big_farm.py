"""A farm with very many slots: how long it takes until it is ready again after a restart, and to prove.

Its ledger and its store are the product's, and are filled through them: every slot is in the ledger as the
chain's events put it there, and has its folder and its list of roots. Made up is what is in them: all pieces
are zeros, only those that the audit draws are on the disk, and the lists of roots are one file with many
names. The chain is made up too. `python -m speed.big_farm FOLDER` measures in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from grange.audit import draw
from grange.chain import Batch, Cursor, Event, Wallet
from grange.kernel import merkle_root
from grange.merkle import root_of_hashes
from grange.types import Address, Epoch, OrderId, address_from
from grange.units import LEAF_BYTES, TOKEN, TOKEN_DECIMALS
from grange_devnet import DEVNET_PARAMETERS
from grange_node.audit.proof import build_proof
from grange_node.config import LEDGER_NAME, Config, OfferFile, TokenFile, parameters_file
from grange_node.ledger.books import books_from
from grange_node.ledger.ledger import Ledger
from grange_node.node import Node
from grange_node.pieces.slot_folder import ROOTS_NAME, Piece, pack_roots, piece_name, slot_path
from grange_node.records import SlotTerms
from grange_node.slot_key import SlotKey
from speed.processes import run_measured

WALLET = Wallet(b"\1" * 32)
MARKET = Address("0x" + "11" * 20)
SEED = bytes(range(32))
EPOCH = Epoch(10)
ENDS = range(32, 32 + 8 * 8, 8)
"""Books of eight dates."""
SLOTS_A_RENTER = 100
RATE = 10**15
"""A thousandth of a token."""
SETTLED_ROUNDS = 5


def config_of(folder: Path) -> Config:
    """The settings of this farm."""
    return Config(
        rpc_url="http://127.0.0.1:1",
        chain_id=1337,
        market=MARKET,
        farmer_id=1,
        owner=WALLET.address,
        start_block=0,
        endpoint="http://127.0.0.1:0",
        data_folder=folder,
        reserve_bytes=0,
        offer_terms=OfferFile(
            price_per_gib_epoch=RATE, egress_price_per_gib=0, capacity_bytes=1 << 50, longest_term_epochs=400
        ),
        redeem_at=TOKEN,
        market_parameters=parameters_file(DEVNET_PARAMETERS),
        token=TokenFile(symbol="GRNG", decimals=TOKEN_DECIMALS),
    )


def make_farm(folder: Path, *, slots: int, slot_bytes: int, piece_bytes: int) -> None:
    """Fill ledger and store, as the farm that is to be started again left them."""
    config = config_of(folder)
    zeros = bytes(piece_bytes)
    piece = Piece(merkle_root(zeros), piece_bytes)
    pieces, piece_leaves = slot_bytes // piece_bytes, piece_bytes // LEAF_BYTES
    root = root_of_hashes(piece.root * pieces)
    keys = [
        SlotKey(
            renter=address_from((1 + number // SLOTS_A_RENTER).to_bytes(20)),
            order=OrderId((1 + number).to_bytes(32)),
            slot=number % 30,
        )
        for number in range(slots)
    ]
    ends = [Epoch(ENDS[number % len(ENDS)]) for number in range(slots)]
    shared = folder / "made-up"
    shared.mkdir(parents=True)
    (shared / "roots").write_bytes(pack_roots(dict.fromkeys(range(pieces), piece)))
    (shared / "piece").write_bytes(zeros)
    with _opened_ledger(config) as ledger:
        events = [
            _filled(key, end, root, pieces * piece_leaves, number)
            for number, (key, end) in enumerate(zip(keys, ends, strict=True))
        ]
        head = EPOCH * DEVNET_PARAMETERS.epoch_blocks
        cursor = Cursor(start=0, anchors=((head, b"\2" * 32),))
        batch = Batch(from_block=0, to_block=head, to_hash=b"\2" * 32, events=tuple(events), cursor=cursor)
        ledger.apply([batch])
        for key, end in zip(keys, ends, strict=True):
            terms = SlotTerms(pieces=pieces, piece_leaves=piece_leaves, root=root, rate=RATE, end=end)
            ledger.adopt(key, terms, 1)
            place = folder / "slots" / slot_path(key)
            place.mkdir(parents=True)
            os.link(shared / "roots", place / ROOTS_NAME)
        by_slot = {(key.order, key.slot): key for key in keys}
        for drawn in draw(SEED, config.farmer, EPOCH, books_from(ledger.entries(EPOCH)), 5):
            key = by_slot[drawn.entry.order, drawn.entry.slot]
            name = piece_name(drawn.leaf_index // piece_leaves, piece.root)
            place = folder / "slots" / slot_path(key) / name
            if not place.exists():
                os.link(shared / "piece", place)


def _opened_ledger(config: Config) -> Any:
    return Ledger.open(
        config.data_folder / LEDGER_NAME,
        chain_id=config.chain_id,
        market=config.domain.market,
        farmer=config.farmer,
        start_block=0,
    )


def _filled(key: SlotKey, end: Epoch, root: bytes, leaf_count: int, number: int) -> Event:
    return Event(
        name="SlotFilled",
        args={
            "order": key.order,
            "farmer": 1,
            "slot": key.slot,
            "root": root,
            "rate": RATE,
            "max_egress_price_per_gib": 0,
            "leaf_count": leaf_count,
            "from": 1,
            "end": end,
            "extension": False,
        },
        block=1,
        block_hash=b"\2" * 32,
        tx_hash=b"\3" * 32,
        log_index=number,
    )


async def restart(folder: Path, started: float) -> dict[str, Any]:
    """Open the whole node, prove, and look at the ledger as each look at the chain does. `started` is when
    this process was, in Unix seconds."""
    config = config_of(folder)
    loaded = time.perf_counter()
    async with AsyncExitStack() as stack:
        nothing: Any = _Nothing()
        node = await stack.enter_async_context(Node.open(config, WALLET, market=nothing, rebuilder=nothing))
        ready, opened = time.perf_counter(), time.time()
        ready_mb = _memory_mb()
        proving_cpu = time.process_time()
        words = build_proof(config, node.store, node.ledger, EPOCH, SEED)
        proven, proven_cpu = time.perf_counter(), time.process_time()
        again_ms = _each_ms(lambda: build_proof(config, node.store, node.ledger, EPOCH, SEED), 1)
        first_look_ms = _each_ms(lambda: _look(node.ledger), 1)
        look_ms = _each_ms(lambda: _look(node.ledger), SETTLED_ROUNDS)
    return {
        "restart_s": round(opened - started, 3),
        "restart_without_imports_s": round(ready - loaded, 3),
        "restart_memory_mb": ready_mb,
        "proof_s": round(proven - ready, 3),
        "proof_cpu_s": round(proven_cpu - proving_cpu, 3),
        "proof_again_s": round(again_ms / 1000, 3),
        "proof_memory_mb": _memory_mb(),
        "proof_words": len(words),
        "first_look_at_rates_ms": round(first_look_ms, 3),
        "look_at_rates_ms": round(look_ms, 3),
    }


class _Nothing:
    """Stands for chain and other farms: nothing of them is asked while a node opens and proves."""

    def __getattr__(self, name: str) -> None:
        return None


def _look(ledger: Ledger) -> None:
    """What is asked of the ledger each time the chain is looked at."""
    ledger.rate_at_start(EPOCH)
    ledger.committed_rate(EPOCH)


def _each_ms(work: Callable[[], object], rounds: int) -> float:
    begun = time.perf_counter()
    for _ in range(rounds):
        work()
    return (time.perf_counter() - begun) * 1000 / rounds


def _memory_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1)


async def measure_restart(folder: Path) -> dict[str, Any]:
    """Start the farm that `make_farm` made, in a process of its own."""
    return await run_measured("speed.big_farm", folder, time.time())


if __name__ == "__main__":
    print(json.dumps(asyncio.run(restart(Path(sys.argv[1]), float(sys.argv[2])))))
