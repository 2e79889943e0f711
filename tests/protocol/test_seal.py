"""Seals: what was sealed comes back, and nothing else does."""

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from grange.errors import AuthenticationFailed, Misuse
from grange.seal import MAX_BLOCK_INDEX, OrderKey, RecoverySecret
from grange.types import OrderId, address_from
from grange.units import MAX_PIECE_BYTES, TAG_BYTES

SECRET = RecoverySecret(secret=bytes(range(32)))
ORDER = OrderId(b"o" * 32)
KEY = SECRET.order_key(ORDER)

indices = st.integers(0, MAX_BLOCK_INDEX)


@given(indices, st.binary(max_size=600))
def test_open_undoes_seal_and_the_tag_is_all_that_is_added(index: int, plaintext: bytes) -> None:
    sealed = KEY.seal(index, plaintext)
    assert len(sealed) == len(plaintext) + TAG_BYTES
    assert KEY.open(index, sealed) == plaintext


@given(indices, st.binary(max_size=64), st.data())
def test_any_flipped_bit_is_noticed(index: int, plaintext: bytes, data: st.DataObject) -> None:
    sealed = bytearray(KEY.seal(index, plaintext))
    byte, bit = divmod(data.draw(st.integers(0, len(sealed) * 8 - 1)), 8)
    sealed[byte] ^= 1 << bit
    with pytest.raises(AuthenticationFailed) as caught:
        KEY.open(index, sealed)
    assert caught.value.block_index == index


@given(indices, indices)
def test_a_block_opens_only_in_its_own_place(index: int, other: int) -> None:
    sealed = KEY.seal(index, b"block")
    if other == index:
        assert KEY.open(other, sealed) == b"block"
    else:
        with pytest.raises(AuthenticationFailed):
            KEY.open(other, sealed)


def test_a_block_opens_only_under_its_own_orders_key_and_secret() -> None:
    sealed = KEY.seal(0, b"block")
    for key in (
        SECRET.order_key(OrderId(b"p" * 32)),
        RecoverySecret(secret=bytes(32)).order_key(ORDER),
    ):
        with pytest.raises(AuthenticationFailed):
            key.open(0, sealed)


def test_the_format_is_aes_256_gcm_with_the_index_as_nonce() -> None:
    key = bytes(range(32, 64))
    nonce = bytes(4) + (7).to_bytes(8)
    assert OrderKey(key).seal(7, b"block") == AESGCM(key).encrypt(nonce, b"block", None)


def hkdf(key_material: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block of output."""
    extracted = hmac.digest(salt or bytes(32), key_material, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


@given(st.binary(min_size=16, max_size=64), st.binary(min_size=32, max_size=32))
def test_keys_follow_from_the_seed_by_hkdf(seed: bytes, order: bytes) -> None:
    recovered = RecoverySecret.from_seed(seed)
    assert recovered.secret == hkdf(seed, b"", b"grange/recovery/1")
    expected = OrderKey(hkdf(recovered.secret, order, b"grange/order/1"))
    assert recovered.order_key(OrderId(order)).seal(0, b"block") == expected.seal(0, b"block")


def test_keys_are_what_they_were() -> None:
    """Golden: whatever changes these loses every renter's data."""
    recovered = RecoverySecret.from_seed(bytes(range(64)))
    assert recovered.secret.hex() == "8ce0ce2a1c6ca53d4a24db17667ce2660db6dd95b875d0a06643ae7cabac4faf"
    sealed = recovered.order_key(ORDER).seal(1, b"grange")
    assert sealed.hex() == "9c78ffbc2b565cf70fa03e454cf015dd7c705d585888"


def test_secrets_do_not_show_in_logs() -> None:
    assert SECRET.secret.hex() not in repr(SECRET)
    assert str(SECRET.secret) not in repr(SECRET)


@pytest.mark.parametrize("index", [-1, MAX_BLOCK_INDEX + 1])
def test_an_index_that_no_nonce_holds_is_refused(index: int) -> None:
    with pytest.raises(Misuse):
        KEY.seal(index, b"")
    with pytest.raises(Misuse):
        KEY.open(index, bytes(TAG_BYTES))


def test_blocks_larger_than_a_piece_are_refused() -> None:
    largest = bytes(MAX_PIECE_BYTES - TAG_BYTES)
    assert KEY.open(0, KEY.seal(0, largest)) == largest
    with pytest.raises(Misuse):
        KEY.seal(0, largest + b"\0")
    for size_bytes in (0, TAG_BYTES - 1, MAX_PIECE_BYTES + 1):
        with pytest.raises(AuthenticationFailed):
            KEY.open(0, bytes(size_bytes))


def test_keys_and_seeds_of_another_length_are_refused() -> None:
    for make in (
        lambda: RecoverySecret(secret=bytes(31)),
        lambda: RecoverySecret.from_seed(bytes(15)),
        lambda: OrderKey(bytes(16)),
        lambda: SECRET.order_key(OrderId(bytes(31))),
    ):
        with pytest.raises(Misuse):
            make()


def test_a_delegates_secret_opens_only_what_it_sealed() -> None:
    """It follows from the account's, and neither the account's nor another delegate's follows from it."""
    account = RecoverySecret(secret=bytes(range(32)))
    first, second = (account.for_delegate(address_from(bytes([n]) * 20)) for n in (1, 2))
    assert account.for_delegate(address_from(bytes([1]) * 20)) == first
    order = OrderId(bytes(32))
    sealed = first.order_key(order).seal(0, b"what it stored")
    assert first.order_key(order).open(0, sealed) == b"what it stored"
    for other in (account, second):
        with pytest.raises(AuthenticationFailed):
            other.order_key(order).open(0, sealed)
    # By RFC 5869, written out.
    extracted = hmac.digest(bytes([1]) * 20, account.secret, "sha256")
    assert first.secret == hmac.digest(extracted, b"grange/delegate/1" + b"\x01", "sha256")
