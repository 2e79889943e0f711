"""What tests of paid reads share: a price, payers, vouchers, and a farm on a socket."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from node_support import DOMAIN, FARMER, OFFER, FakeMarket, Farm, Parcel, open_farm

from grange.chain import Farmer, Wallet
from grange.messages import Domain, sign_voucher
from grange.peer import PaymentChannels, Peer, PeerTimeouts, ReadPayments, Signer, open_session
from grange.types import Address, FarmerId
from grange.units import GIB
from grange_node.api.connection_limits import Limits
from grange_node.api.serve import make_server
from grange_node.config import OfferFile

PRICED = OfferFile(
    price_per_gib_epoch=OFFER.price_per_gib_epoch,
    egress_price_per_gib=GIB,
    capacity_bytes=1 << 30,
    longest_term_epochs=OFFER.longest_term_epochs,
)
"""A base unit for every byte."""
RENTER = Wallet(b"\x02" * 32)
STRANGER = Wallet(b"\x03" * 32)
TIMEOUTS = PeerTimeouts(silence_seconds=10.0, wallet_pause_seconds=0.01)
VAULT = 10**12
LIMITS = Limits()


def voucher(
    total: int, *, by: Wallet = RENTER, farmer: FarmerId = FARMER, domain: Domain = DOMAIN
) -> dict[str, str]:
    """The header of a voucher."""
    signed = sign_voucher(domain, by.private_key, farmer=farmer, cumulative=total)
    return {"Voucher": f"cumulative={total},signature={signed.signature.hex()}"}


async def read(
    farm: Farm, slot: Parcel, size_bytes: int, *, first: int = 0, by: Wallet = RENTER, **headers: str
) -> httpx.Response:
    """Ask for so many bytes."""
    wanted = f"bytes={first}-{first + size_bytes - 1}"
    signed = farm.sign(by, "GET", slot.path, hashlib.sha256(wanted.encode()).digest())
    return await farm.http.get(slot.path, headers=signed | {"Range": wanted} | headers)


async def account(farm: Farm, by: Wallet = RENTER) -> dict[str, Any]:
    response = await farm.http.get("/v1/account", headers=farm.sign(by, "GET", "/v1/account"))
    return dict(response.json())


@asynccontextmanager
async def serving(
    folder: Path, market: FakeMarket, limits: Limits = LIMITS, **settings: Any
) -> AsyncIterator[tuple[Farm, str]]:
    """A farm on a socket of its own."""
    settings = {"offer_terms": PRICED} | settings
    async with open_farm(folder, market=market, **settings) as farm:
        listening = socket.create_server(("127.0.0.1", 0))
        server = make_server(farm.app, limits)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        await server.listening.wait()
        try:
            yield farm, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running
            listening.close()


@asynccontextmanager
async def customer(
    farm: Farm,
    endpoint: str,
    channels_path: Path | None = None,
    *,
    wallet: Wallet = RENTER,
    contract_wallet: Address | None = None,
    most_per_gib: int | None = None,
    **offer: int,
) -> AsyncIterator[tuple[Peer, ReadPayments]]:
    """Somebody who reads from the farm, perhaps in a contract wallet's own name, and its payments."""
    signer = Signer(
        domain=DOMAIN, wallet=wallet, timeouts=TIMEOUTS, now=farm.clock, contract_wallet=contract_wallet
    )
    known: Farmer = await farm.market.own_farmer()
    price = {"egress_price_per_gib": PRICED.egress_price_per_gib} | offer
    known = replace(known, endpoint=endpoint, offer=replace(known.offer, **price))
    with PaymentChannels.open(
        channels_path, domain=DOMAIN, payer=contract_wallet or wallet.address
    ) as channels:
        payments = ReadPayments(
            domain=DOMAIN,
            wallet=wallet,
            channels=channels,
            executors=farm.node.executors,
            account=contract_wallet,
            is_of_wallet=contract_wallet is not None,
        )
        async with open_session(TIMEOUTS, chain_id=DOMAIN.chain_id) as session:
            yield Peer(known, session, signer, payments, most_per_gib), payments
