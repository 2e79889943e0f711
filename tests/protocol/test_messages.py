"""Signed messages, with eth_account and eth_abi as oracles."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_abi.packed import encode_packed
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from grange import messages
from grange.errors import BadSignature, Misuse
from grange.messages import Domain
from grange.types import Acceptance, Address, Epoch, FarmerId, Held, OrderId, Slot, Takeover, address_from

ORDER_OF_SECP256K1 = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = keccak(b"operator")
DOMAIN = Domain(chain_id=31337, market=address_from(keccak(b"market")[12:]))

words = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20).map(address_from)
keys = st.integers(1, ORDER_OF_SECP256K1 - 1).map(lambda number: number.to_bytes(32))
domains = st.builds(Domain, chain_id=st.integers(1, 2**64), market=addresses)
acceptances = st.fixed_dictionaries(
    {
        "order": words.map(OrderId),
        "farmer": st.integers(0, 2**32 - 1).map(FarmerId),
        "slot": st.integers(0, 255),
        "root": words,
        "leaf_count": st.integers(0, 2**32 - 1),
        "rate": st.integers(0, 2**80 - 1),
        "max_egress_price_per_gib": st.integers(0, 2**80 - 1),
        "end": st.integers(0, 2**32 - 1).map(Epoch),
        "deadline_block": st.integers(0, 2**64 - 1),
        "previous": words.map(OrderId),
        "repairer": addresses,
    }
)
requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "PUT", "POST", "DELETE"]),
        "path": st.text(max_size=80),
        "farmer": st.integers(0, 2**32 - 1).map(FarmerId),
        "expires": st.integers(0, 2**64 - 1),
        "nonce": st.binary(min_size=16, max_size=16),
        "content": words,
    }
)
ACCEPTANCE: dict[str, Any] = {
    "order": OrderId(b"o" * 32),
    "farmer": FarmerId(7),
    "slot": 3,
    "root": b"r" * 32,
    "leaf_count": 2048,
    "rate": 10**12,
    "max_egress_price_per_gib": 10**15,
    "end": Epoch(96),
    "deadline_block": 500,
    "previous": OrderId(b"p" * 32),
    "repairer": address_from(b"r" * 20),
}
EXTENDING = {name: value for name, value in ACCEPTANCE.items() if name != "repairer"}
TAKING_OVER = ACCEPTANCE | {"previous": messages.tenure_word(Epoch(41))}
PLACE = ("order", "slot", "leaf_count", "end", "previous")


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def oracle_digest(domain: Domain, type_string: str, values: dict[str, Any]) -> bytes:
    """The digest by eth_account, from the type as it is written in EIP-712."""
    name, _, fields = type_string[:-1].partition("(")
    pairs = [field.split(" ") for field in fields.split(",")]
    signable = encode_typed_data(
        domain_data={
            "name": "Grange",
            "version": "1",
            "chainId": domain.chain_id,
            "verifyingContract": domain.market,
        },
        message_types={name: [{"type": kind, "name": label} for kind, label in pairs]},
        message_data={camel(label): value for label, value in values.items()},
    )
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def acceptance_digest(domain: Domain, fields: dict[str, Any]) -> bytes:
    return messages.acceptance_digest(domain, messages.AcceptanceMessage(**fields))


@given(domains, acceptances)
def test_the_digest_of_an_acceptance_is_eth_accounts(domain: Domain, acceptance: dict[str, Any]) -> None:
    expected = oracle_digest(domain, messages.ACCEPTANCE_TYPE, acceptance)
    assert acceptance_digest(domain, acceptance) == expected


@given(domains, requests)
def test_the_digest_of_a_request_is_eth_accounts(domain: Domain, request_: dict[str, Any]) -> None:
    expected = oracle_digest(domain, messages.REQUEST_TYPE, request_)
    assert messages.request_digest(domain, **request_) == expected


@given(addresses, words)
def test_an_order_id_is_the_hash_of_its_abi_encoding(renter: Address, salt: bytes) -> None:
    kinds = ["address", "address", "bytes32"]
    assert messages.order_id(renter, salt) == keccak(encode(kinds, [renter, renter, salt]))
    sent = messages.order_id(renter, salt, sender=DOMAIN.market)
    assert sent == keccak(encode(kinds, [renter, DOMAIN.market, salt]))


slots_of_orders = st.lists(
    st.builds(
        Slot,
        farmer=st.integers(0, 2**32 - 1),
        root=words,
        rate=st.integers(0, 2**80 - 1),
        max_egress_price_per_gib=st.integers(0, 2**80 - 1),
        start=st.integers(0, 2**32 - 1),
    )
)


def groups_of(slots: Sequence[Slot]) -> list[bytes]:
    """Each group's slots as `abi.encode` writes an array of so many."""
    groups = [slots[first : first + 4] for first in range(0, len(slots), 4)]
    return [
        keccak(
            encode(
                [f"(uint32,bytes32,uint80,uint80,uint32)[{len(group)}]"],
                [list(map(dataclasses.astuple, group))],
            )
        )
        for group in groups
    ]


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), slots_of_orders)
def test_the_hash_of_slots_is_that_of_their_groups_and_farmers(
    leaf_count: int, piece_leaves: int, slots: list[Slot]
) -> None:
    shape = encode(["uint256"] * 3, [leaf_count, piece_leaves, len(slots)])
    farmers = encode_packed(["uint32"] * len(slots), [slot.farmer for slot in slots])
    assert messages.slots_hash(leaf_count, piece_leaves, slots) == keccak(
        b"".join([shape, *groups_of(slots), farmers])
    )


@given(slots_of_orders.filter(len), st.data())
def test_a_group_shows_its_slots_all_farmers_and_the_hashes_of_the_other_groups(
    slots: list[Slot], data: st.DataObject
) -> None:
    slot = data.draw(st.integers(0, len(slots) - 1))
    held = Held(order=OrderId(bytes(32)), leaf_count=8, piece_leaves=4, slots=tuple(slots))
    group = messages.held_group(held, slot)
    hashes = groups_of(slots)
    del hashes[slot // 4]
    assert (group.order, group.leaf_count, group.piece_leaves) == (held.order, 8, 4)
    assert group.slots[slot % 4] == slots[slot]
    assert group.slots == tuple(slots[slot // 4 * 4 :][:4])
    assert group.groups == tuple(hashes)
    assert group.farmers == encode_packed(["uint32"] * len(slots), [one.farmer for one in slots])


@given(keys, words)
def test_signatures_and_addresses_are_eth_accounts(key: bytes, digest: bytes) -> None:
    account = Account.from_key(key)
    assert messages.address_of(key) == account.address
    signature = messages.sign_digest(key, digest)
    assert signature == bytes(account.unsafe_sign_hash(digest).signature)
    assert messages.recover(digest, signature) == account.address


@given(keys, words)
def test_a_compact_signature_is_the_same_signature(key: bytes, digest: bytes) -> None:
    signature = messages.sign_digest(key, digest)
    r, vs = messages.compact_from(signature)
    assert (len(r), len(vs)) == (32, 32)
    assert messages.signature_from(r, vs) == signature


def test_compact_signatures_are_those_of_the_eip() -> None:
    """The two examples of EIP-2098."""
    r = bytes.fromhex("68a020a209d3d56c46f38cc50a33f704f4a9a10a59377f8dd762ac66910e9b90")
    s = bytes.fromhex("7e865ad05c4035ab5792787d4a0297a43617ae897930a6fe4d822b8faea52064")
    assert messages.compact_from(r + s + b"\x1b") == (r, s)
    r = bytes.fromhex("9328da16089fcba9bececa81663203989f2df5fe1faa6291a45381c81bd17f76")
    s = bytes.fromhex("139c6d6b623b42da56557e5e734a43dc83345ddfadec52cbe24d0cc64f550793")
    assert messages.compact_from(r + s + b"\x1c") == (r, bytes([s[0] | 0x80]) + s[1:])


@given(acceptances, st.sampled_from(sorted(ACCEPTANCE)), st.data())
def test_an_acceptance_binds_every_field(acceptance: dict[str, Any], name: str, data: st.DataObject) -> None:
    other = data.draw(acceptances)[name]
    digest = acceptance_digest(DOMAIN, acceptance)
    changed = acceptance_digest(DOMAIN, acceptance | {name: other})
    assert (changed == digest) == (other == acceptance[name])


@pytest.mark.parametrize(
    "foreign",
    [Domain(chain_id=1, market=DOMAIN.market), Domain(chain_id=31337, market=address_from(bytes(20)))],
    ids=["another chain", "another market"],
)
def test_an_acceptance_means_nothing_elsewhere(foreign: Domain) -> None:
    message = messages.AcceptanceMessage(**EXTENDING)
    signed = messages.sign_acceptance(DOMAIN, KEY, message)
    assert messages.acceptance_signer(DOMAIN, message, r=signed.r, vs=signed.vs) == messages.address_of(KEY)
    assert messages.acceptance_signer(foreign, message, r=signed.r, vs=signed.vs) != messages.address_of(KEY)


@pytest.mark.parametrize("name", PLACE)
def test_an_acceptance_is_signed_by_nobody_we_know_in_another_place(name: str) -> None:
    message = messages.AcceptanceMessage(**EXTENDING)
    signed = messages.sign_acceptance(DOMAIN, KEY, message)
    other = bytes(32) if name in ("order", "previous") else ACCEPTANCE[name] + 1
    place = replace(message, **{name: other})
    assert messages.acceptance_signer(DOMAIN, place, r=signed.r, vs=signed.vs) != messages.address_of(KEY)


def test_an_acceptance_carries_what_was_signed() -> None:
    signed = messages.sign_acceptance(DOMAIN, KEY, messages.AcceptanceMessage(**EXTENDING))
    r, vs = messages.compact_from(messages.sign_digest(KEY, acceptance_digest(DOMAIN, EXTENDING)))
    assert signed == Acceptance(
        farmer=ACCEPTANCE["farmer"],
        root=ACCEPTANCE["root"],
        rate=ACCEPTANCE["rate"],
        max_egress_price_per_gib=ACCEPTANCE["max_egress_price_per_gib"],
        deadline_block=ACCEPTANCE["deadline_block"],
        r=r,
        vs=vs,
    )


def test_a_takeover_carries_what_was_signed() -> None:
    signed = messages.sign_takeover(DOMAIN, KEY, messages.AcceptanceMessage(**TAKING_OVER))
    r, vs = messages.compact_from(messages.sign_digest(KEY, acceptance_digest(DOMAIN, TAKING_OVER)))
    assert signed == Takeover(
        slot=ACCEPTANCE["slot"],
        farmer=ACCEPTANCE["farmer"],
        deadline_block=ACCEPTANCE["deadline_block"],
        r=r,
        vs=vs,
    )


def test_an_acceptance_for_one_use_is_signed_by_nobody_we_know_for_another() -> None:
    digests = {
        acceptance_digest(DOMAIN, {**ACCEPTANCE, "previous": previous, "repairer": repairer})
        for previous in (messages.NO_ORDER, ACCEPTANCE["previous"])
        for repairer in (messages.NOBODY, ACCEPTANCE["repairer"])
    }
    assert len(digests) == 4


@given(domains, keys, st.integers(0, 2**32 - 1).map(FarmerId), st.integers(0, 2**256 - 1))
def test_a_voucher_is_its_renters_and_its_digest_eth_accounts(
    domain: Domain, key: bytes, farmer: FarmerId, cumulative: int
) -> None:
    renter = messages.address_of(key)
    values = {"renter": renter, "farmer": farmer, "cumulative": cumulative}
    expected = oracle_digest(domain, messages.VOUCHER_TYPE, values)
    assert messages.voucher_digest(domain, renter=renter, farmer=farmer, cumulative=cumulative) == expected
    voucher = messages.sign_voucher(domain, key, farmer=farmer, cumulative=cumulative)
    assert (voucher.renter, voucher.cumulative) == (renter, cumulative)
    assert messages.voucher_signer(domain, voucher, farmer=farmer) == renter
    assert messages.voucher_signer(domain, voucher, farmer=FarmerId(farmer ^ 1)) != renter
    other = dataclasses.replace(voucher, cumulative=cumulative ^ 1)
    assert messages.voucher_signer(domain, other, farmer=farmer) != renter


@given(keys, words)
def test_the_malleable_twin_of_a_signature_is_refused(key: bytes, digest: bytes) -> None:
    signature = messages.sign_digest(key, digest)
    high_s = (ORDER_OF_SECP256K1 - int.from_bytes(signature[32:64])).to_bytes(32)
    twin = signature[:32] + high_s + bytes([27 + 28 - signature[64]])
    with pytest.raises(BadSignature, match="malleable"):
        messages.recover(digest, twin)


@pytest.mark.parametrize("v", [0, 1, 26, 29, 255])
def test_another_v_is_refused(v: int) -> None:
    signature = messages.sign_digest(KEY, bytes(32))[:64] + bytes([v])
    with pytest.raises(BadSignature, match="27 or 28"):
        messages.recover(bytes(32), signature)
    with pytest.raises(BadSignature):
        messages.compact_from(signature)


@pytest.mark.parametrize("size_bytes", [0, 64, 66])
def test_another_length_is_refused(size_bytes: int) -> None:
    with pytest.raises(BadSignature, match="65 bytes"):
        messages.recover(bytes(32), bytes(size_bytes))
    with pytest.raises(BadSignature):
        messages.compact_from(bytes(size_bytes))


@pytest.mark.parametrize(
    ("r", "s"), [(0, 1), (1, 0), (0, 0), (ORDER_OF_SECP256K1, 1), (2**256 - 1, 1), (5, 1)]
)
def test_a_signature_of_nobody_is_refused(r: int, s: int) -> None:
    """5 is no x of a point on the curve; zero and what is not below the order are no r or s at all."""
    with pytest.raises(BadSignature, match="not valid"):
        messages.recover(bytes(32), r.to_bytes(32) + s.to_bytes(32) + b"\x1b")


def test_r_and_vs_of_another_length_are_refused() -> None:
    for r, vs in ((bytes(31), bytes(32)), (bytes(32), bytes(33)), (b"", b"")):
        with pytest.raises(BadSignature):
            messages.signature_from(r, vs)


@given(words, st.integers(0, 64), st.integers(0, 7))
def test_any_flipped_bit_makes_another_signer_or_none(digest: bytes, byte: int, bit: int) -> None:
    signature = bytearray(messages.sign_digest(KEY, digest))
    signature[byte] ^= 1 << bit
    try:
        signer = messages.recover(digest, bytes(signature))
    except BadSignature:
        return
    assert signer != messages.address_of(KEY)


def test_what_does_not_fit_its_type_is_refused() -> None:
    request = {
        "method": "GET",
        "path": "/",
        "farmer": FarmerId(1),
        "expires": 1,
        "nonce": bytes(16),
        "content": bytes(32),
    }
    wrong: list[Any] = [
        lambda: acceptance_digest(DOMAIN, ACCEPTANCE | {"slot": 256}),
        lambda: acceptance_digest(DOMAIN, ACCEPTANCE | {"rate": 2**80}),
        lambda: acceptance_digest(DOMAIN, ACCEPTANCE | {"farmer": -1}),
        lambda: acceptance_digest(DOMAIN, (ACCEPTANCE | {"root": bytes(31)})),
        lambda: messages.request_digest(DOMAIN, **(request | {"nonce": bytes(15)})),
        lambda: messages.request_digest(DOMAIN, **(request | {"content": b""})),
        lambda: messages.request_digest(DOMAIN, **(request | {"expires": 2**64})),
        lambda: messages.sign_digest(KEY, bytes(31)),
        lambda: messages.sign_digest(KEY[1:], bytes(32)),
        lambda: messages.sign_digest(bytes(32), bytes(32)),
        lambda: messages.address_of(ORDER_OF_SECP256K1.to_bytes(32)),
        lambda: messages.order_id(DOMAIN.market, bytes(31)),
        lambda: messages.order_id(Address("0x12"), bytes(32)),
    ]
    for ask in wrong:
        with pytest.raises(Misuse):
            ask()
