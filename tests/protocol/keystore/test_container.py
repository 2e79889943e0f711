"""Locked secrets: what other wallets write opens here, what we write opens there, and nothing else does."""

from __future__ import annotations

import json
import traceback
from typing import Any, Literal
from unicodedata import normalize

import pytest
from eth_account import Account
from eth_keyfile import create_keyfile_json, decode_keyfile_json
from hypothesis import given, settings
from hypothesis import strategies as st
from keystore_support import CHEAP, KEY, RIGHT, WALLET, container_of

from grange.keystore.container import (
    MAX_SCRYPT_BYTES,
    MAX_SCRYPT_R,
    STANDARD,
    Container,
    ContainerInvalid,
    SecretKind,
    WrongPassphrase,
    is_locked,
    lock,
)

FORMS = ("NFC", "NFD", "NFKD")
ACCENTED = "une clé pour l'été"

# Of the standard: https://github.com/ethereum/wiki/wiki/Web3-Secret-Storage-Definition
STANDARDS_PASSPHRASE = "testpassword"
STANDARDS_KEY = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
STANDARDS_SCRYPT: dict[str, Any] = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
        "kdf": "scrypt",
        "kdfparams": {
            "dklen": 32,
            "n": 262144,
            "p": 8,
            "r": 1,
            "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
        },
        "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}
STANDARDS_PBKDF2: dict[str, Any] = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}


def test_the_vector_of_the_standard_opens() -> None:
    container = Container.parse(json.dumps(STANDARDS_PBKDF2))
    assert container.open(STANDARDS_PASSPHRASE).hex() == STANDARDS_KEY
    assert (container.address, container.holds, container.in_keyring) == (None, SecretKind.KEY, False)


def test_the_vector_of_the_standard_that_breaks_the_rules_of_scrypt_is_refused_in_words() -> None:
    """Its r is 1, for which RFC 7914 allows no n so large, nor does OpenSSL. No wallet makes such files."""
    with pytest.raises(ContainerInvalid, match="RFC 7914"):
        Container.parse(json.dumps(STANDARDS_SCRYPT))


@pytest.mark.parametrize("made", FORMS)
@pytest.mark.parametrize("typed", FORMS)
def test_however_a_keyboard_spells_an_accented_letter_it_opens(
    made: Literal["NFC", "NFD", "NFKD"], typed: Literal["NFC", "NFD", "NFKD"]
) -> None:
    container = container_of(normalize(made, ACCENTED))
    assert container.open(normalize(typed, ACCENTED)) == KEY
    with pytest.raises(WrongPassphrase):
        container.open(normalize(typed, ACCENTED).replace("e", "f"))


@settings(max_examples=20, deadline=None)
@given(key=st.integers(1, 2**252), passphrase=st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_what_is_locked_here_opens_in_another_program_and_the_other_way(key: int, passphrase: str) -> None:
    secret = key.to_bytes(32)
    account = Account.from_key(secret)
    ours = lock(secret, passphrase, holds=SecretKind.KEY, address=account.address, cost=CHEAP)
    assert decode_keyfile_json(json.loads(ours), passphrase.encode()) == secret
    theirs = create_keyfile_json(secret, passphrase.encode(), kdf="scrypt", iterations=2)
    opened = Container.parse(json.dumps(theirs))
    assert (opened.open(passphrase), opened.address) == (secret, account.address)


def test_a_wallet_program_opens_what_is_locked_at_the_usual_cost() -> None:
    text = lock(KEY, RIGHT, holds=SecretKind.KEY, address=WALLET.address)
    assert json.loads(text)["crypto"]["kdfparams"]["n"] == STANDARD.n == 1 << 17
    assert bytes(Account.decrypt(json.loads(text), RIGHT)) == KEY


def test_two_locks_of_one_secret_have_nothing_in_common() -> None:
    first, second = (
        json.loads(lock(KEY, RIGHT, holds=SecretKind.KEY, address=WALLET.address, cost=CHEAP))
        for _ in range(2)
    )
    for of in (
        lambda document: document["id"],
        lambda document: document["crypto"]["ciphertext"],
        lambda document: document["crypto"]["cipherparams"]["iv"],
        lambda document: document["crypto"]["kdfparams"]["salt"],
    ):
        assert of(first) != of(second)


def test_what_a_container_shows_is_no_secret() -> None:
    container = container_of()
    for shown in (repr(container), str(container)):
        assert KEY.hex() not in shown
        assert "ciphertext" not in shown
    assert (container.address, container.open(RIGHT)) == (WALLET.address, KEY)


@pytest.mark.parametrize("passphrase", ["", "Correct horse battery staple", RIGHT + " ", "x" * 5000])
def test_no_other_passphrase_opens_it(passphrase: str) -> None:
    with pytest.raises(WrongPassphrase):
        container_of().open(passphrase)


def test_any_flipped_bit_of_what_is_locked_is_noticed() -> None:
    document = json.loads(lock(KEY, RIGHT, holds=SecretKind.KEY, address=WALLET.address, cost=CHEAP))
    ciphertext = bytes.fromhex(document["crypto"]["ciphertext"])
    for place in range(0, len(ciphertext) * 8, 37):
        flipped = bytearray(ciphertext)
        flipped[place // 8] ^= 1 << place % 8
        document["crypto"]["ciphertext"] = flipped.hex()
        with pytest.raises(WrongPassphrase):
            Container.parse(json.dumps(document)).open(RIGHT)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("version",), 1, "version"),
        (("crypto", "cipher"), "aes-256-cbc", "cipher"),
        (("crypto", "kdf"), "argon2", "kdf"),
        (("crypto", "kdfparams", "n"), 3, "power of two"),
        (("crypto", "kdfparams", "n"), 1 << 40, "MiB of memory"),
        (("crypto", "kdfparams", "r"), MAX_SCRYPT_BYTES, "MiB of memory"),
        (("crypto", "kdfparams", "r"), MAX_SCRYPT_R + 1, "r of scrypt"),
        (("crypto", "kdfparams", "p"), 17, "less than or equal to 16"),
        (("crypto", "kdfparams", "n"), None, "what scrypt is to take"),
        (("crypto", "kdfparams", "salt"), "zz", "salt"),
        (("crypto", "cipherparams", "iv"), "00", "16 bytes"),
        (("crypto", "mac"), 7, "mac"),
        (("address",), "12", "not an address"),
        (("grange", "holds"), "a kettle", "holds"),
    ],
)
def test_what_is_none_or_asks_for_too_much_is_refused(path: tuple[str, ...], value: Any, reason: str) -> None:
    """A file from elsewhere must not take all memory of the machine that looks at it."""
    document = json.loads(lock(KEY, RIGHT, holds=SecretKind.KEY, address=WALLET.address, cost=CHEAP))
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(ContainerInvalid, match=reason) as refused:
        Container.parse(json.dumps(document), "home/operator.key")
    assert "home/operator.key" in str(refused.value)
    shown = "".join(traceback.format_exception(refused.value))
    assert document["crypto"]["ciphertext"] not in shown


def test_all_that_is_not_refused_can_be_computed() -> None:
    """At the edges of what is allowed; more memory than was reckoned with would be no word of ours."""
    document = json.loads(lock(KEY, RIGHT, holds=SecretKind.KEY, address=WALLET.address, cost=CHEAP))
    document["crypto"]["kdfparams"] |= {"n": 2, "r": MAX_SCRYPT_R, "p": 16, "dklen": 64}
    with pytest.raises(WrongPassphrase):
        Container.parse(json.dumps(document)).open(RIGHT)


def test_a_passphrase_that_was_typed_in_another_encoding_opens_what_it_locked() -> None:
    typed = b"m\xfcller".decode(errors="surrogateescape")
    text = lock(KEY, typed, holds=SecretKind.KEY, address=WALLET.address, cost=CHEAP)
    assert Container.parse(text).open(typed) == KEY


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"crypto": 1, "version": 3}'])
def test_what_is_no_container_is_refused_in_words(text: str) -> None:
    with pytest.raises(ContainerInvalid):
        Container.parse(text)


def test_a_secret_in_clear_is_not_taken_for_a_locked_one() -> None:
    assert is_locked(lock(KEY, RIGHT, holds=SecretKind.KEY, address=WALLET.address, cost=CHEAP))
    assert not is_locked(KEY.hex())
    assert not is_locked('{"account": "0x", "key": "00"}')
    assert is_locked('{"crypto": {')
