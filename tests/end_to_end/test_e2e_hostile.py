"""Requests and orders that somebody made to cheat, at a real farmer and a real market."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from e2e_knock import PIECE_BYTES, Accepted, Slot, Visitor, knocking
from e2e_town import Person, Town

from grange.chain import TransactionReverted, Wallet, calls
from grange.merkle import merkle_root
from grange.messages import AcceptanceMessage, Domain, sign_acceptance
from grange.types import Acceptance, FarmerId
from grange.units import MAX_PIECE_BYTES, TOKEN
from grange.wire.bodies import format_body

pytestmark = pytest.mark.asyncio(loop_scope="session")

Header = Callable[[Visitor, str], str | None]

UNSIGNED_REASONS: dict[str, tuple[Header, str]] = {
    "no signature": (lambda visitor, path: None, "unsigned"),
    "another scheme": (lambda visitor, path: "Bearer " + "0" * 64, "unsigned"),
    "expired": (lambda visitor, path: visitor.signed("GET", path, at=time.time() - 300), "expired"),
    "good for too long": (lambda visitor, path: visitor.signed("GET", path, life_seconds=900), "too_long"),
    "for another farmer": (
        lambda visitor, path: visitor.signed("GET", path, farmer=FarmerId(visitor.farmer.id + 1)),
        "signature",
    ),
    "for another path": (lambda visitor, path: visitor.signed("GET", path + "/pieces"), "signature"),
    "for another method": (lambda visitor, path: visitor.signed("DELETE", path), "signature"),
    "for another chain": (
        lambda visitor, path: visitor.signed(
            "GET", path, domain=Domain(chain_id=1, market=visitor.domain.market)
        ),
        "signature",
    ),
    "by another key in our name": (
        lambda visitor, path: in_the_name_of(visitor.wallet, stranger(visitor).signed("GET", path)),
        "signature",
    ),
    "for other content": (lambda visitor, path: visitor.signed("GET", path, bytes([1]) * 32), "content"),
}


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(town: Town, person: Person) -> AsyncIterator[Visitor]:
    async with knocking(town, town.farmers[0], person.wallet) as knocks:
        yield knocks


@pytest.mark.parametrize("what", UNSIGNED_REASONS)
async def test_a_request_that_is_not_signed_for_this_is_refused(visitor: Visitor, what: str) -> None:
    """Nothing is read without a signature for just this request, to this farmer, now."""
    kept = await visitor.accepted(Slot.of_noise(seed=1))
    header, reason = UNSIGNED_REASONS[what]
    path = visitor.slot_path(kept.slot)
    answer = await visitor.ask("GET", path, header(visitor, path))
    assert (answer.status, answer.code, answer.detail["reason"]) == (401, "unauthorised", reason)


async def test_a_request_is_taken_once(visitor: Visitor) -> None:
    """A signed request that was overheard cannot be sent again."""
    kept = await visitor.accepted(Slot.of_noise(seed=2))
    path = visitor.slot_path(kept.slot)
    header = visitor.signed("GET", path)
    first = await visitor.ask("GET", path, header)
    again = await visitor.ask("GET", path, header)
    assert (first.status, again.status, again.detail["reason"]) == (200, 401, "replayed")


async def test_a_stranger_gets_nothing_of_an_order(visitor: Visitor) -> None:
    """Somebody else's order can be neither read, listed, proposed nor dropped, however well it is signed."""
    kept = await visitor.accepted(Slot.of_noise(seed=3))
    path, other = visitor.slot_path(kept.slot), stranger(visitor)
    for method, target in (
        ("GET", path),
        ("GET", f"{path}/pieces"),
        ("GET", f"{path}/pieces/0/path"),
        ("DELETE", path),
    ):
        answer = await other.ask(method, target, other.signed(method, target))
        assert (answer.status, answer.code) == (403, "foreign"), (method, target)
    body = format_body(visitor.acceptance_request(kept.slot))
    answer = await other.ask(
        "POST", f"{path}/accept", other.signed("POST", f"{path}/accept", sha256(body).digest()), data=body
    )
    assert (answer.status, answer.code) == (403, "foreign")
    assert await visitor.read(kept.slot) == kept.slot.data


async def test_bytes_that_are_not_what_was_announced_are_not_kept(visitor: Visitor) -> None:
    """A piece with another root is refused, and nothing of it stays."""
    slot = Slot.of_noise(seed=4)
    path = f"{visitor.slot_path(slot)}/pieces/0"
    header = visitor.signed("PUT", path, merkle_root(slot.data))
    flipped = bytes([slot.data[0] ^ 1]) + slot.data[1:]
    answer = await visitor.ask("PUT", path, header, data=flipped)
    assert (answer.status, answer.code) == (422, "root_mismatch")
    assert await pieces_there(visitor, slot) == []
    await visitor.accepted(slot)


async def test_more_bytes_than_a_piece_may_have_are_not_taken(visitor: Visitor) -> None:
    """Nobody can make a farmer read more than the largest piece, or a piece of no announced length."""
    slot = Slot.of_noise(seed=5)
    path = f"{visitor.slot_path(slot)}/pieces/0"
    header = visitor.signed("PUT", path, slot.root)
    answer = await visitor.ask("PUT", path, header, data=BytesIO(bytes(MAX_PIECE_BYTES + 512)))
    assert (answer.status, answer.code) == (413, "too_much")

    async def without_length() -> AsyncIterator[bytes]:
        yield slot.data

    header = visitor.signed("PUT", path, slot.root)
    answer = await visitor.ask("PUT", path, header, data=without_length())
    assert (answer.status, answer.code) == (411, "length_missing")
    assert await pieces_there(visitor, slot) == []


async def test_more_bytes_than_announced_are_not_taken(visitor: Visitor) -> None:
    """What comes behind the announced length is never part of the piece."""
    slot = Slot.of_noise(seed=6)
    path = f"{visitor.slot_path(slot)}/pieces/0"
    header = visitor.signed("PUT", path, merkle_root(slot.data * 2))
    raw = await sent_raw(visitor, "PUT", path, header, announced=PIECE_BYTES, body=slot.data * 2)
    assert raw.startswith(b"HTTP/1.1 422"), raw[:200]
    header = visitor.signed("PUT", path, slot.root)
    raw = await sent_raw(visitor, "PUT", path, header, announced=PIECE_BYTES, body=slot.data + b"more" * 99)
    assert raw.startswith(b"HTTP/1.1 201"), raw[:200]
    acceptance = await visitor.accept(slot, visitor.acceptance_request(slot))
    assert acceptance.root == slot.root
    assert await visitor.read(slot) == slot.data


async def test_fewer_bytes_than_announced_are_not_a_piece(visitor: Visitor) -> None:
    """A connection that ends early leaves nothing behind."""
    slot = Slot.of_noise(seed=7)
    path = f"{visitor.slot_path(slot)}/pieces/0"
    header = visitor.signed("PUT", path, slot.root)
    await sent_raw(visitor, "PUT", path, header, announced=PIECE_BYTES, body=slot.data[:-1], then_end=True)
    assert await pieces_there(visitor, slot) == []


async def test_an_acceptance_is_given_for_what_is_there_at_terms_that_hold(visitor: Visitor) -> None:
    """A wrong root, a missing piece, a price too low, a salt of somebody else: no acceptance."""
    slot = Slot.of_noise(seed=8, pieces=2)
    await visitor.bring(slot)
    expected: dict[tuple[int, str], dict[str, object]] = {
        (422, "root_mismatch"): {"root": secrets.token_bytes(32)},
        (404, "not_found"): {"pieces": 3},
        (409, "conflict"): {"pieces": 1},
        (409, "terms_refused"): {"rate": visitor.acceptance_request(slot).rate - 1},
        (403, "foreign"): {"salt": secrets.token_bytes(32)},
        (400, "malformed"): {"piece_leaves": 3},
    }
    for refusal, changes in expected.items():
        answer = await visitor.proposed(slot, **changes)
        assert (answer.status, answer.code) == refusal, changes
    answer = await visitor.proposed(slot, end=visitor.end + 1)
    assert (answer.status, answer.code) == (409, "terms_refused")
    assert (await visitor.proposed(slot)).status == 200


async def test_nothing_is_taken_or_accepted_beyond_price_or_vault(town: Town, visitor: Visitor) -> None:
    """A rate that would bind the whole stake, and a vault without an epoch's pay, are refused with the
    numbers."""
    slot = Slot.of_noise(seed=9)
    await visitor.bring(slot)
    answer = await visitor.proposed(slot, rate=visitor.farmer.stake)
    assert (answer.status, answer.code) == (409, "terms_refused")
    assert answer.detail["highest_rate"] == 2 * visitor.acceptance_request(slot).rate

    poor = replace(visitor, wallet=Wallet.random())
    path = f"{poor.slot_path(slot)}/pieces/0"
    answer = await poor.ask("PUT", path, poor.signed("PUT", path, slot.root), data=slot.data)
    assert (answer.status, answer.code) == (402, "vault_too_small")
    assert answer.detail["needed"] > answer.detail["funds"] == 0


async def test_the_market_takes_an_acceptance_only_as_it_was_signed(
    town: Town, person: Person, visitor: Visitor
) -> None:
    """Altered, made up, for another order, renter, chain or slot: AcceptanceForged, and nothing is paid."""
    kept = await visitor.accepted(Slot.of_noise(seed=10))
    good, terms = kept.acceptance, kept.terms
    other_order = await visitor.accepted(Slot.of_noise(seed=11))
    forged = {
        "another root": replace(good, root=secrets.token_bytes(32)),
        "a lower rate": replace(good, rate=good.rate - 1 or 2),
        "a later deadline": replace(good, deadline_block=good.deadline_block + 1),
        "a made up r": replace(good, r=secrets.token_bytes(32)),
        "an r that is no point": replace(good, r=bytes(32)),
        "another s": replace(good, vs=bytes([good.vs[0] ^ 1]) + good.vs[1:]),
        "the other recovery bit": replace(good, vs=bytes([good.vs[0] ^ 0x80]) + good.vs[1:]),
        "an acceptance for another order": other_order.acceptance,
        "an acceptance in another farmer's name": replace(good, farmer=town.farmers[1].farmer),
        "an acceptance for another chain": by_the_farmer(town, kept, replace(town.chain.domain, chain_id=1)),
        "an acceptance of nobody in particular": by_a_stranger(town, kept),
    }
    sender, before = town.sender(person.wallet), await town.wealth(person.address)
    permit = await town.chain.permit(person.wallet, TOKEN)
    for what, acceptance in forged.items():
        with pytest.raises(TransactionReverted) as refused:
            await sender.send(calls.place(terms, [acceptance], permit))
        assert refused.value.name == "AcceptanceForged", (what, refused.value)
    assert await town.wealth(person.address) == before
    assert await town.nonce(person.address) == 0
    receipt = await sender.send(calls.place(terms, [good], permit))
    assert receipt.event("SlotFilled").args["farmer"] == good.farmer


async def test_the_market_counts_stake_and_vault_itself(town: Town, person: Person, visitor: Visitor) -> None:
    """An acceptance beyond the farmer's stake, and an order beyond the renter's vault, are refused on
    chain."""
    kept = await visitor.accepted(Slot.of_noise(seed=15))
    sender, before = town.sender(person.wallet), await town.wealth(person.address)
    permit = await town.chain.permit(person.wallet, 100 * TOKEN)
    most = visitor.farmer.stake // town.chain.parameters.collateral_epochs
    beyond = replace(kept, acceptance=replace(kept.acceptance, rate=most + 1))
    refusals = {
        "StakeTooSmall": calls.place(kept.terms, [by_the_farmer(town, beyond, visitor.domain)], permit),
        "VaultTooSmall": calls.place(kept.terms, [kept.acceptance]),
    }
    for name, call in refusals.items():
        with pytest.raises(TransactionReverted) as refused:
            await sender.send(call)
        assert refused.value.name == name
    assert await town.wealth(person.address) == before


async def test_an_acceptance_is_the_renters_own(town: Town, visitor: Visitor) -> None:
    """Another renter cannot place with it, neither as it is nor with a salt of its own."""
    kept = await visitor.accepted(Slot.of_noise(seed=12))
    thief = await town.person()
    permit = await town.chain.permit(thief.wallet, TOKEN)
    for terms in (kept.terms, replace(kept.terms, salt=secrets.token_bytes(32))):
        with pytest.raises(TransactionReverted) as refused:
            await town.sender(thief.wallet).send(calls.place(terms, [kept.acceptance], permit))
        assert refused.value.name == "AcceptanceForged"


async def test_an_acceptance_lapses(town: Town, person: Person, visitor: Visitor) -> None:
    """Behind its deadline an acceptance is worth nothing, and one that the farmer gave since is good."""
    kept = await visitor.accepted(Slot.of_noise(seed=13))
    head = (await town.chain.head()).number
    short = replace(kept, acceptance=replace(kept.acceptance, deadline_block=head + 1))
    await town.devnet.mine_to(head + 2)
    sender, permit = town.sender(person.wallet), await town.chain.permit(person.wallet, TOKEN)
    with pytest.raises(TransactionReverted) as refused:
        await sender.send(calls.place(kept.terms, [by_the_farmer(town, short, visitor.domain)], permit))
    assert refused.value.name == "AcceptanceExpired"
    await sender.send(calls.place(kept.terms, [kept.acceptance], permit))


async def test_an_acceptance_is_no_place_twice(town: Town, person: Person, visitor: Visitor) -> None:
    """The same order cannot be placed again, and what is placed cannot be dropped."""
    kept = await visitor.accepted(Slot.of_noise(seed=14))
    sender = town.sender(person.wallet)
    await sender.send(
        calls.place(kept.terms, [kept.acceptance], await town.chain.permit(person.wallet, TOKEN))
    )
    with pytest.raises(TransactionReverted) as refused:
        await sender.send(calls.place(kept.terms, [kept.acceptance]))
    assert refused.value.name == "OrderExists"
    path = visitor.slot_path(kept.slot)
    answer = await visitor.ask("DELETE", path, visitor.signed("DELETE", path))
    assert (answer.status, answer.code) == (409, "conflict")
    assert await visitor.read(kept.slot) == kept.slot.data


def stranger(visitor: Visitor) -> Visitor:
    """Somebody else at the same door."""
    return replace(visitor, wallet=Wallet.random())


def in_the_name_of(wallet: Wallet, header: str) -> str:
    """The header with another renter written over it."""
    start = header.index("renter=") + len("renter=")
    return header[:start] + wallet.address.lower() + header[start + 42 :]


def by_the_farmer(town: Town, kept: Accepted, domain: Domain) -> Acceptance:
    """The same acceptance for another domain, by the farmer's own key."""
    return signed(town.operator(town.farmers[0]), kept, domain)


def by_a_stranger(town: Town, kept: Accepted) -> Acceptance:
    """The same acceptance by a key that is not a farmer's operator."""
    return signed(Wallet.random(), kept, town.chain.domain)


def signed(wallet: Wallet, kept: Accepted, domain: Domain) -> Acceptance:
    good, terms = kept.acceptance, kept.terms
    return sign_acceptance(
        domain,
        wallet.private_key,
        AcceptanceMessage(
            order=kept.slot.order(kept.renter),
            farmer=good.farmer,
            slot=0,
            root=good.root,
            leaf_count=terms.leaf_count,
            rate=good.rate,
            end=terms.end,
            deadline_block=good.deadline_block,
        ),
    )


async def pieces_there(visitor: Visitor, slot: Slot) -> list[object]:
    """What the farmer says it has of a slot."""
    path = f"{visitor.slot_path(slot)}/pieces"
    headers = {"Authorization": visitor.signed("GET", path)}
    async with visitor.session.get(visitor.farmer.endpoint + path, headers=headers) as response:
        if response.status == 404:
            return []
        return list((await response.json())["roots"])


async def sent_raw(
    visitor: Visitor,
    method: str,
    path: str,
    header: str,
    *,
    announced: int,
    body: bytes,
    then_end: bool = False,
) -> bytes:
    """A request whose length is not what it says; what came back until the farmer hung up."""
    parts = urlsplit(visitor.farmer.endpoint)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        lines = (
            f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: {header}\r\n"
            f"Content-Length: {announced}\r\nConnection: close\r\n\r\n"
        )
        writer.write(lines.encode() + body)
        await writer.drain()
        if then_end:
            writer.write_eof()
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()
