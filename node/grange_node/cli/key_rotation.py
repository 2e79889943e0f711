"""Giving a farmer another operator key.

    1  make the new key                           operator.key.next
    2  give it gas tokens, from the old account
    3  have the owner name it on chain            setOperator
    4  keep the old key, and put the new one in its place

Each step looks at what is there first, so that the command can be repeated after it was cut off anywhere. No
key is ever deleted: until step 3 the old one operates the farmer, and if it owns the farmer too it does so
for good, since a farmer's owner cannot be changed.

What was signed with the old key counts for some blocks more, as many as the market says: an order whose
farmers accepted can be placed in them. A key that was stolen is void at once instead, and what it signed too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grange.chain import Chain, Sender, Wallet, calls, read_block_clock
from grange.chain.key_file import KeyInvalid, OpenedKey, address_in_file, key_from_file, key_text, open_key
from grange.chain.sender import burying_sender
from grange.keystore.container import ContainerInvalid
from grange.keystore.passphrases import NO_PASSPHRASES, PassphraseNeeded, Passphrases
from grange.storage.atomic_file import move_file
from grange.storage.folder_lock import folder_lock
from grange.storage.home_lock import HomeLock
from grange.types import Address
from grange.units import format_count, format_gas_tokens
from grange_node.chain.funding import read_gas_reserve
from grange_node.chain.ownership import check_not_lapsed, check_owner
from grange_node.config import (
    KEY_NAME,
    LEDGER_NAME,
    OWNER_KEY_NAME,
    Config,
    connect,
    write_private,
)
from grange_node.errors import AcceptancesOpen, NotFunded, NotOwner
from grange_node.ledger.ledger import Ledger
from grange_node.records import SlotState

NEXT_KEY_NAME: Final = "operator.key.next"
_FORMER: Final = f"{KEY_NAME}.old-"
GAS_TOKEN_SHARE: Final = 2
"""Which part of the old account's gas tokens the new one gets: the old one may need gas too, as the owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What was done."""

    operator: Address
    kept: Path | None
    """Where the old key is; None if there was none."""
    owns: bool
    """Whether the old key owns the farmer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    old: Wallet | None
    new: Wallet
    owner: Wallet


async def rotate_key(
    home: Path,
    config: Config,
    owner: Wallet,
    *,
    now: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    passphrases: Passphrases = NO_PASSPHRASES,
    choose: Callable[[], str | None] = lambda: None,
) -> Rotation:
    """Make a new operator key, have the owner name it on chain, and put it in place.

    With `now` all that the old key signed is void at once, and nothing is waited for. The new key is locked
    as the old one is, and where that is lost, with what `choose` says. Raises NotOwner, AcceptancesOpen,
    NotFunded, FarmerForeign, Lapsed, KeyInvalid, ChainError, and what `grange.keystore` raises for a
    passphrase; then the old key is still in place.
    """
    if owner.address != config.owner:
        raise NotOwner(
            f"Farmer {config.farmer_id} belongs to {config.owner}, who alone may name its operator, and this "
            f"key is {owner.address}.",
            hint="Give the owner's key with --owner-key FILE.",
        )
    lock = HomeLock.in_home(home, on_wait=lambda: tell("Another command changes this farm; waiting for it."))
    async with lock.held():
        opened = open_key(home / KEY_NAME, passphrases) if (home / KEY_NAME).exists() else None
        new = _load_or_create_next(home, opened, passphrases, choose)
        keys = _Keys(old=opened.wallet if opened else None, new=new, owner=owner)
        return await _rotate(home, config, keys, now, tell)


async def _rotate(
    home: Path, config: Config, keys: _Keys, now: bool, tell: Callable[[str], None]
) -> Rotation:
    old, new, owner = keys.old, keys.new, keys.owner
    async with connect(config) as chain:
        farmer = await chain.farmer(config.farmer)
        check_owner(farmer, config)
        await check_not_lapsed(chain, farmer)
        if farmer.operator != new.address:
            if not now:
                await _check_no_acceptances(chain, config)
            await _give_gas(chain, old, new.address, config, tell)
            consent = await chain.operator_consent(new, owner=owner.address, farmer=config.farmer)
            call = calls.set_operator(config.farmer, new.address, consent=consent, void_former=now)
            await burying_sender(chain, owner, policy=config.fees.policy).send(call)
    # No key is locked with another passphrase meanwhile, which would put the old one in its place again.
    with folder_lock(home):
        kept = _keep_old(home, config, old)
        _put_in_place(home)
    return Rotation(operator=new.address, kept=kept, owns=old is not None and old.address == config.owner)


def _load_or_create_next(
    home: Path, old: OpenedKey | None, passphrases: Passphrases, choose: Callable[[], str | None]
) -> Wallet:
    path = home / NEXT_KEY_NAME
    if path.exists():
        return key_from_file(path, passphrases)
    new = Wallet.random()
    write_private(path, old.lock(new) if old else key_text(new, choose()))
    return new


async def _check_no_acceptances(chain: Chain, config: Config) -> None:
    path = config.data_folder / LEDGER_NAME
    if not path.exists():
        return
    clock = await read_block_clock(chain)
    with Ledger.look(path) as ledger:
        deadlines = [record.deadline_block or 0 for record in ledger.slots(SlotState.ACCEPTED)]
    counting = chain.parameters.former_operator_blocks
    too_late = [block for block in deadlines if block > clock.block + counting]
    if too_late:
        last = max(too_late)
        again = last - counting
        raise AcceptancesOpen(
            f"What was accepted with the old key, {format_count(len(too_late), 'slot')}, may be placed up to "
            f"block {last}, and is not yet.",
            detail=f"The market takes what a key signed for {counting} blocks after there is another. Orders "
            "that are placed later would be refused, and the renters would have to upload to another farmer.",
            hint=f"Run the command again after block {again}, about {clock.format_block(again)}. If the key "
            "was stolen, do not wait: with --now all that it signed is void.",
        )


async def _give_gas(
    chain: Chain, old: Wallet | None, new: Address, config: Config, tell: Callable[[str], None]
) -> None:
    """See to it that the new account can pay for proofs."""
    reserve = await read_gas_reserve(chain, new, config.fees.policy)
    if reserve.held_wei >= max(1, reserve.proof_wei):
        return
    share = await chain.native_balance(old.address) // GAS_TOKEN_SHARE if old is not None else 0
    if old is None or share < max(1, reserve.proof_wei):
        raise NotFunded(
            f"The new operator {new} has {format_gas_tokens(reserve.held_wei)} gas tokens, and the old one "
            "has none to spare.",
            hint=f"Send the new one {format_gas_tokens(max(1, reserve.advised_wei))} gas tokens, "
            "then run the same command again.",
        )
    await Sender(chain, old, policy=config.fees.policy).transfer_native(new, share)
    tell(f"Sent {format_gas_tokens(share)} gas tokens from {old.address} to {new}.")


def _keep_old(home: Path, config: Config, old: Wallet | None) -> Path | None:
    if old is None:
        return None
    path = home / OWNER_KEY_NAME
    if old.address != config.owner or (path.exists() and not _holds(path, old)):
        path = home / f"{_FORMER}{old.address[2:10].lower()}"
    if not path.exists():
        # As it is, and so locked as it was.
        write_private(path, (home / KEY_NAME).read_text())
    return path


def former_keys(home: Path) -> list[str]:
    """Names of the files of keys that were the operator's, and whose accounts may have gas tokens still."""
    return sorted(path.name for path in home.glob(f"{_FORMER}*"))


def _holds(path: Path, wallet: Wallet) -> bool:
    """Whether a key is in a file; what else is there is somebody's too, and stays."""
    try:
        return address_in_file(path) == wallet.address
    except (KeyInvalid, PassphraseNeeded, ContainerInvalid):
        return False


def _put_in_place(home: Path) -> None:
    move_file(home / NEXT_KEY_NAME, home / KEY_NAME)
