"""A home whose account is a contract wallet: what it is, what opens what, and that its card says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from client_fakes import MARKET, WORDS

from grange.chain.network_file import Network
from grange.types import address_from
from grange_client.errors import BadCard, BadConfig, NotAccount
from grange_client.keys.config import load, load_card, set_up
from grange_client.keys.identity_file import DelegateSecret
from grange_client.keys.recovery_card import RecoveryCard
from grange_client.keys.recovery_phrase import identity
from grange_client.keys.wallet_account import require_own_account

WALLET = address_from(b"\xc0" * 20)
OTHER = address_from(b"\xc1" * 20)
ORDER = b"\x07" * 32
NETWORK = Network(rpc="http://127.0.0.1:1", market=MARKET, chain_id=1337, first_block=5)


def test_a_home_with_an_account_acts_for_it(tmp_path: Path) -> None:
    made = set_up(tmp_path, phrase=WORDS, network=NETWORK, account=WALLET)
    for config in (made, load(tmp_path)):
        found = config.identity
        assert (found.account, found.contract_wallet, found.delegate_of) == (WALLET, WALLET, None)
        assert found.wallet.address == identity(WORDS).wallet.address
        assert not found.is_account
        with pytest.raises(NotAccount, match=f"contract wallet {WALLET}: it does so"):
            require_own_account(found, "it does so")


def test_its_phrase_opens_what_devices_of_the_wallet_store_and_what_its_own_key_does(tmp_path: Path) -> None:
    """And its own key, where it acts for the wallet, stores as any delegate: one rule for all."""
    found = set_up(tmp_path, phrase=WORDS, network=NETWORK, account=WALLET).identity
    device = DelegateSecret.new(identity(WORDS), account=WALLET).identity
    assert found.secret.for_delegate(device.wallet.address) == device.secret == device.sealing_secret
    own = found.secret.for_delegate(found.wallet.address)
    assert found.sealing_secret == own != found.secret
    assert identity(WORDS).sealing_secret == identity(WORDS).secret


def test_ones_own_address_is_no_contract_wallet(tmp_path: Path) -> None:
    found = set_up(tmp_path, phrase=WORDS, network=NETWORK, account=identity(WORDS).wallet.address).identity
    assert found.is_account
    assert found.contract_wallet is None
    require_own_account(found, "it does so")


def test_an_account_of_a_set_up_that_was_cut_short_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / "account.txt").write_text(OTHER)
    set_up(tmp_path, phrase=WORDS, network=NETWORK)
    assert load(tmp_path).identity.contract_wallet is None


@pytest.mark.parametrize("text", ["", "0x12", "nobody", "\u0661" * 42])
def test_an_account_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    set_up(tmp_path, phrase=WORDS, network=NETWORK, account=WALLET)
    (tmp_path / "account.txt").write_text(text)
    with pytest.raises(BadConfig, match="does not hold the address of an account"):
        load(tmp_path)


def test_a_card_carries_the_account(tmp_path: Path) -> None:
    set_up(tmp_path, phrase=WORDS, network=NETWORK, account=WALLET)
    card = load_card(tmp_path)
    assert card.account == WALLET
    assert f"account: {WALLET}\n" in card.text()
    assert RecoveryCard.parse(card.text()) == card


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (WALLET, OTHER, "do not belong together"),
        (f"account: {WALLET}\n", "", "do not belong together"),
        (WALLET, "0x12", "not an address"),
        (f"account: {WALLET}\n", f"account: {WALLET}\n" * 2, "two lines"),
    ],
)
def test_an_account_that_is_mistyped_is_noticed(before: str, after: str, said: str) -> None:
    text = RecoveryCard.of(WORDS, NETWORK, account=WALLET).text().replace(before, after)
    with pytest.raises(BadCard, match=said):
        RecoveryCard.parse(text)
