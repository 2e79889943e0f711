"""What is signed: EIP-712 digests, signatures and the ids made from them.

Decides the typed data of an acceptance (what a farmer signs, checked by the contract), of an operator's
consent to act for a farmer and of a voucher (a renter's), likewise, of a permit (checked by the token) and
of a request (a renter's call to a farmer, checked by the node), and which signatures count: 65 bytes r, s, v
with a low s and v of 27 or 28, or the compact form of EIP-2098. Leaves to others who may sign what, and when
a message is too old.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from coincurve import PrivateKey, PublicKey

from grange.errors import BadSignature, Misuse
from grange.keccak import keccak256
from grange.types import (
    ADDRESS_BYTES,
    GROUP_SLOTS,
    Acceptance,
    Address,
    Epoch,
    FarmerId,
    Held,
    HeldGroup,
    OperatorConsent,
    OrderId,
    Slot,
    Takeover,
    Voucher,
    address_from,
)
from grange.units import HASH_BYTES

DOMAIN_NAME: Final = "Grange"
DOMAIN_VERSION: Final = "1"
SIGNATURE_BYTES: Final = 65
NONCE_BYTES: Final = 16
SALT_BYTES: Final = 32
NO_CONTENT: Final = bytes(32)
"""The content of a request that carries none."""
NO_ORDER: Final = OrderId(bytes(HASH_BYTES))
"""What an acceptance extends, unless it does."""
NEW_FARMER: Final = FarmerId(0)
"""The farmer of a consent by which one is registered."""
NOBODY: Final = address_from(bytes(ADDRESS_BYTES))
"""The repairer of an acceptance that repairs nothing."""
NO_GIVER: Final = FarmerId(0)
"""The giver of an acceptance of what nobody hands over."""

KEYS_KEPT: Final = 8
"""Keys of which the public one is not computed again for each signature: that takes longer than signing."""

DOMAIN_TYPE: Final = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
ACCEPTANCE_TYPE: Final = (
    "Acceptance(bytes32 order,uint32 farmer,uint8 slot,bytes32 root,uint32 leafCount,"
    "uint80 rate,uint80 maxEgressPricePerGib,uint32 end,uint64 deadlineBlock,bytes32 previous,"
    "address repairer)"
)
HAND_OVER_TYPE: Final = (
    "HandOver(bytes32 order,uint32 farmer,uint8 slot,bytes32 root,uint32 leafCount,"
    "uint80 rate,uint80 maxEgressPricePerGib,uint32 end,uint64 deadlineBlock,bytes32 previous,"
    "uint32 giver)"
)
CONSENT_TYPE: Final = (
    "OperatorConsent(address operator,address owner,uint32 farmer,uint256 nonce,uint64 deadlineBlock)"
)
VOUCHER_TYPE: Final = "Voucher(address renter,uint32 farmer,uint256 cumulative)"
PERMIT_TYPE: Final = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
"""Of the token (EIP-2612)."""
REQUEST_TYPE: Final = (
    "Request(string method,string path,uint32 farmer,uint64 expires,bytes16 nonce,bytes32 content)"
)

_DOMAIN_HASH = keccak256(DOMAIN_TYPE.encode())
_ACCEPTANCE_HASH = keccak256(ACCEPTANCE_TYPE.encode())
_PERMIT_HASH = keccak256(PERMIT_TYPE.encode())
_HAND_OVER_HASH = keccak256(HAND_OVER_TYPE.encode())
_CONSENT_HASH = keccak256(CONSENT_TYPE.encode())
_REQUEST_HASH = keccak256(REQUEST_TYPE.encode())
_VOUCHER_HASH = keccak256(VOUCHER_TYPE.encode())
_NAME_HASH = keccak256(DOMAIN_NAME.encode())
_VERSION_HASH = keccak256(DOMAIN_VERSION.encode())
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""The largest s that is not malleable: half the order of secp256k1 (EIP-2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """One market on one chain: what is signed for it means nothing anywhere else."""

    chain_id: int
    market: Address
    separator: bytes = field(init=False, repr=False, compare=False)
    """EIP-712's domain separator."""

    def __post_init__(self) -> None:
        words = (_DOMAIN_HASH, _NAME_HASH, _VERSION_HASH, _uint(self.chain_id, 256), _address(self.market))
        object.__setattr__(self, "separator", keccak256(b"".join(words)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceMessage:
    """What a farmer's operator signs: I keep this slot with this root, at this rate, until this epoch,
    and ask no more than this for reading it.

    For one use: to place the order, to extend the order `previous` by it, or to take over a slot of it from
    the tenure that `previous` names (see `tenure_word`): a vacant one, with the bounty for `repairer`, or one
    that the farmer `giver` hands over.
    """

    order: OrderId
    farmer: FarmerId
    slot: int
    root: bytes
    leaf_count: int
    rate: int
    """Base units per epoch."""
    max_egress_price_per_gib: int = 0
    """The most that it asks for reading until the order's end, in base units."""
    end: Epoch
    """Exclusive."""
    deadline_block: int
    """The last block in which it may be used."""
    previous: bytes = NO_ORDER
    repairer: Address = NOBODY
    giver: FarmerId = NO_GIVER


def order_id(account: Address, salt: bytes, *, sender: Address | None = None) -> OrderId:
    """keccak256(abi.encode(account, sender, salt)): known to the sender before the order is placed.

    The order belongs to `account`, its id to `sender`: the account itself, unless told otherwise.
    """
    return OrderId(keccak256(_address(account) + _address(sender or account) + _bytes32(salt)))


def extension_id(previous: OrderId, end: Epoch) -> OrderId:
    """keccak256(abi.encode(previous, end)): the id of what extends an order by mandate, until this end."""
    return OrderId(keccak256(_bytes32(previous) + _uint(end, 32)))


def slots_hash(leaf_count: int, piece_leaves: int, slots: Sequence[Slot]) -> bytes:
    """What the contract keeps of an order's slots: keccak256 of leafCount, pieceLeaves, how many slots there
    are, the hash of each group of four, and all farmers in four bytes each."""
    words = [_uint(leaf_count, 32), _uint(piece_leaves, 32), _uint(len(slots), 256)]
    return keccak256(b"".join([*words, *_group_hashes(slots), _farmers(slots)]))


def held_group(held: Held, slot: int) -> HeldGroup:
    """An order with the group of one of its slots, as `handOver` and `recover` take it."""
    own = slot // GROUP_SLOTS
    hashes = _group_hashes(held.slots)
    return HeldGroup(
        order=held.order,
        leaf_count=held.leaf_count,
        piece_leaves=held.piece_leaves,
        farmers=_farmers(held.slots),
        groups=(*hashes[:own], *hashes[own + 1 :]),
        slots=held.slots[own * GROUP_SLOTS : (own + 1) * GROUP_SLOTS],
    )


def _group_hashes(slots: Sequence[Slot]) -> list[bytes]:
    words = [
        _uint(slot.farmer, 32)
        + _bytes32(slot.root)
        + _uint(slot.rate, 80)
        + _uint(slot.max_egress_price_per_gib, 80)
        + _uint(slot.start, 32)
        for slot in slots
    ]
    return [
        keccak256(b"".join(words[first : first + GROUP_SLOTS])) for first in range(0, len(words), GROUP_SLOTS)
    ]


def _farmers(slots: Sequence[Slot]) -> bytes:
    return b"".join(slot.farmer.to_bytes(4) for slot in slots)


def acceptance_digest(domain: Domain, message: AcceptanceMessage) -> bytes:
    """What is hashed and signed of an acceptance (EIP-712). Raises Misuse for what does not fit its field."""
    words = (
        _HAND_OVER_HASH if message.giver else _ACCEPTANCE_HASH,
        _bytes32(message.order),
        _uint(message.farmer, 32),
        _uint(message.slot, 8),
        _bytes32(message.root),
        _uint(message.leaf_count, 32),
        _uint(message.rate, 80),
        _uint(message.max_egress_price_per_gib, 80),
        _uint(message.end, 32),
        _uint(message.deadline_block, 64),
        _bytes32(message.previous),
        _uint(message.giver, 32) if message.giver else _address(message.repairer),
    )
    return _digest(domain.separator, words)


def tenure_word(start: Epoch) -> bytes:
    """A tenure of a slot, by its first epoch, as the acceptance that follows it names it: 32 bytes."""
    return _uint(start, 32)


def consent_digest(
    domain: Domain, *, operator: Address, owner: Address, farmer: FarmerId, nonce: int, deadline_block: int
) -> bytes:
    """What a key signs to be the operator of an owner's farmer, NEW_FARMER for one to be registered.

    `nonce` is the market's for this key: each consent serves once.
    """
    words = (
        _CONSENT_HASH,
        _address(operator),
        _address(owner),
        _uint(farmer, 32),
        _uint(nonce, 256),
        _uint(deadline_block, 64),
    )
    return _digest(domain.separator, words)


def voucher_digest(domain: Domain, *, renter: Address, farmer: FarmerId, cumulative: int) -> bytes:
    """What a renter signs to pay a farmer out of its vault: in all, so many base units."""
    return _digest(
        domain.separator, (_VOUCHER_HASH, _address(renter), _uint(farmer, 32), _uint(cumulative, 256))
    )


def permit_digest(
    separator: bytes, *, owner: Address, spender: Address, value: int, nonce: int, deadline: int
) -> bytes:
    """What an account signs to let another pull tokens, over the separator of the token's own domain."""
    numbers = (_uint(number, 256) for number in (value, nonce, deadline))
    return _digest(separator, (_PERMIT_HASH, _address(owner), _address(spender), *numbers))


def request_digest(
    domain: Domain, *, method: str, path: str, farmer: FarmerId, expires: int, nonce: bytes, content: bytes
) -> bytes:
    """What a renter signs to make one call to one farmer.

    `path` is the raw path with its query as sent; `expires` is in Unix seconds; `content` is 32 bytes: the
    announced piece root of a PUT, the SHA-256 of a POST's body or of a Range header, NO_CONTENT otherwise.
    """
    if len(nonce) != NONCE_BYTES:
        raise Misuse(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    words = (
        _REQUEST_HASH,
        keccak256(method.encode()),
        keccak256(path.encode()),
        _uint(farmer, 32),
        _uint(expires, 64),
        nonce + bytes(32 - NONCE_BYTES),
        _bytes32(content),
    )
    return _digest(domain.separator, words)


def sign_digest(private_key: bytes, digest: bytes) -> bytes:
    """65 bytes r, s, v (27 or 28), with a low s; the same every time (RFC 6979)."""
    signature = _private_key(private_key).sign_recoverable(_bytes32(digest), hasher=None)
    return signature[:64] + bytes([27 + signature[64]])


def recover(digest: bytes, signature: bytes) -> Address:
    """Who signed. Raises BadSignature for a wrong length, a v not 27 or 28, a high s, or a point that is no
    key."""
    if len(signature) != SIGNATURE_BYTES:
        raise BadSignature(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    if signature[64] not in (27, 28):
        raise BadSignature(f"the last byte of a signature is 27 or 28, not {signature[64]}")
    if int.from_bytes(signature[32:64]) > _HALF_ORDER:
        raise BadSignature("the signature is malleable: its s is in the upper half")
    recoverable = signature[:64] + bytes([signature[64] - 27])
    try:
        key = PublicKey.from_signature_and_message(recoverable, _bytes32(digest), hasher=None)
    except ValueError as error:
        raise BadSignature("the signature is not valid") from error
    return _address_of_public(key)


def sign_acceptance(domain: Domain, private_key: bytes, message: AcceptanceMessage) -> Acceptance:
    """The acceptance as `place` and `extend` take it, signed by the operator's key."""
    r, vs = compact_from(sign_digest(private_key, acceptance_digest(domain, message)))
    return Acceptance(
        farmer=message.farmer,
        root=message.root,
        rate=message.rate,
        max_egress_price_per_gib=message.max_egress_price_per_gib,
        deadline_block=message.deadline_block,
        r=r,
        vs=vs,
    )


def sign_takeover(domain: Domain, private_key: bytes, message: AcceptanceMessage) -> Takeover:
    """The acceptance of another farmer's slot, as `refill` or `handOver` takes it: signed by the operator."""
    return takeover_from(message.slot, sign_acceptance(domain, private_key, message))


def sign_operator_consent(
    domain: Domain, private_key: bytes, *, owner: Address, farmer: FarmerId, nonce: int, deadline_block: int
) -> OperatorConsent:
    """The consent as `register` and `setOperator` take it, signed by the key that is to be the operator's."""
    digest = consent_digest(
        domain,
        operator=address_of(private_key),
        owner=owner,
        farmer=farmer,
        nonce=nonce,
        deadline_block=deadline_block,
    )
    r, vs = compact_from(sign_digest(private_key, digest))
    return OperatorConsent(deadline_block=deadline_block, r=r, vs=vs)


def takeover_from(slot: int, acceptance: Acceptance) -> Takeover:
    """An acceptance as `refill` takes it: the order knows root and rate of the slot."""
    return Takeover(
        slot=slot,
        farmer=acceptance.farmer,
        deadline_block=acceptance.deadline_block,
        r=acceptance.r,
        vs=acceptance.vs,
    )


def sign_voucher(
    domain: Domain,
    private_key: bytes,
    *,
    farmer: FarmerId,
    cumulative: int,
    renter: Address | None = None,
    is_of_wallet: bool = False,
) -> Voucher:
    """The voucher as `redeem` takes it, signed by the renter's key, or by that of its delegate.

    With `is_of_wallet` the renter is a contract wallet, which is to say that the key may sign for it: what is
    signed has a length that the market takes for no key's.
    """
    renter = renter or address_of(private_key)
    digest = voucher_digest(domain, renter=renter, farmer=farmer, cumulative=cumulative)
    signature = sign_digest(private_key, digest)
    if not is_of_wallet:
        signature = b"".join(compact_from(signature))
    return Voucher(renter=renter, cumulative=cumulative, signature=signature)


def voucher_signer(domain: Domain, voucher: Voucher, *, farmer: FarmerId) -> Address:
    """Whose key signed the voucher for this farmer, for itself or for a contract wallet. Raises BadSignature
    if no key fits."""
    digest = voucher_digest(domain, renter=voucher.renter, farmer=farmer, cumulative=voucher.cumulative)
    signature = voucher.signature
    if not voucher.is_of_wallet:
        signature = signature_from(signature[:HASH_BYTES], signature[HASH_BYTES:])
    return recover(digest, signature)


def acceptance_signer(domain: Domain, message: AcceptanceMessage, *, r: bytes, vs: bytes) -> Address:
    """Whose key signed an acceptance. Raises BadSignature if none did."""
    return recover(acceptance_digest(domain, message), signature_from(r, vs))


def compact_from(signature: bytes) -> tuple[bytes, bytes]:
    """r and vs of EIP-2098: the parity of v in the top bit of s. Raises BadSignature like `recover`."""
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28) or signature[32] & 0x80:
        raise BadSignature("only 65 bytes r, s, v with a low s and v of 27 or 28 have a compact form")
    return signature[:32], bytes([signature[32] | (signature[64] - 27) << 7]) + signature[33:64]


def signature_from(r: bytes, vs: bytes) -> bytes:
    """65 bytes r, s, v out of EIP-2098's r and vs. Raises BadSignature when a part has not 32 bytes."""
    if len(r) != HASH_BYTES or len(vs) != HASH_BYTES:
        raise BadSignature(f"r and vs have {HASH_BYTES} bytes each, not {len(r)} and {len(vs)}")
    return r + bytes([vs[0] & 0x7F]) + vs[1:] + bytes([27 + (vs[0] >> 7)])


def address_of(private_key: bytes) -> Address:
    """The account that a key controls. Raises Misuse when 32 bytes are no key."""
    return _address_of_public(_private_key(private_key).public_key)


@lru_cache(maxsize=KEYS_KEPT)
def _private_key(private_key: bytes) -> PrivateKey:
    # coincurve pads short keys with zeros, which would make another account out of a truncated file.
    if len(private_key) != HASH_BYTES:
        raise Misuse(f"a private key has {HASH_BYTES} bytes, not {len(private_key)}")
    try:
        return PrivateKey(private_key)
    except ValueError as error:
        raise Misuse("these 32 bytes are not a private key") from error


def _address_of_public(key: PublicKey) -> Address:
    return address_from(keccak256(key.format(compressed=False)[1:])[12:])


def _digest(separator: bytes, words: tuple[bytes, ...]) -> bytes:
    return keccak256(b"\x19\x01" + separator + keccak256(b"".join(words)))


def _uint(value: int, bits: int) -> bytes:
    if not 0 <= value < 1 << bits:
        raise Misuse(f"{value} does not fit uint{bits}")
    return value.to_bytes(32)


def _bytes32(value: bytes) -> bytes:
    if len(value) != HASH_BYTES:
        raise Misuse(f"{HASH_BYTES} bytes are needed, not {len(value)}")
    return value


def _address(value: Address) -> bytes:
    raw = bytes.fromhex(value.removeprefix("0x"))
    if len(raw) != 20:
        raise Misuse(f"{value!r} is not an address")
    return bytes(12) + raw
