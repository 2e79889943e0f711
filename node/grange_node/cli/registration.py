"""Becoming a farmer on chain, changing what was announced, and taking out what was earned.

Every step looks at what is there first, so that each command can be repeated after it failed half way: a
registration that was sent but not noted down is found again by its owner and operator. Decides what is sent,
in what order. Leaves asking the operator to `cli`, and whose a farmer is to `ownership`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grange.chain import Call, Chain, Farmer, Receipt, Sender, Wallet, calls
from grange.chain.allowance import Permissions, allow
from grange.chain.fee_settings import FeeSettings
from grange.chain.network_file import Network, open_network
from grange.chain.sender import burying_sender
from grange.cli.fees import FeeChoice, changed_fees
from grange.cli.parameter_words import describe_cautions
from grange.json_text import parse_json
from grange.keystore.passphrases import NO_PASSPHRASES, Passphrases
from grange.storage.home_lock import HomeLock
from grange.types import Address, FarmerId, Offer
from grange_node.chain.funding import check_funds
from grange_node.chain.ownership import accepted_owners, check_not_lapsed, find_farmer, read_ours
from grange_node.cli.earnings import pay_out
from grange_node.cli.stake import describe_coverage
from grange_node.config import (
    CONFIG_NAME,
    DEFAULT_REDEEM_AT_TOKENS,
    KEY_NAME,
    Config,
    TokenFile,
    connect,
    load_config,
    load_key,
    make_home,
    make_key,
    offer_file,
    parameters_file,
    save_config,
    split_endpoint,
    write_private,
)
from grange_node.errors import ConfigInvalid, NotFunded, NotOwner
from grange_node.pieces.volume import begin_volume

PENDING_NAME = "registering.json"
"""Where the chain stood when the registration was sent; gone once farm.json is there."""
KEPT_SETTINGS = ("redeem_at", "unplaced_bytes_per_renter", "unplaced_percent")
"""What `set_up` is not told: a farm that has it otherwise keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmPlan:
    """What a new farm is to be. `longest_term_epochs` None means as long as the calendar allows."""

    network: Network
    trust_market: bool = False
    """Whether to take a market that Grange can't vouch for."""
    owner: Address | None
    endpoint: str
    data_folder: Path
    stake: int
    price_per_gib_epoch: int
    egress_price_per_gib: int
    capacity_bytes: int
    longest_term_epochs: int | None
    reserve_bytes: int
    max_fee_gwei: str | None = None
    """What is offered for a unit of gas at most; as it is if None."""

    def offer(self, calendar_epochs: int) -> Offer:
        """The offer to announce."""
        return Offer(
            price_per_gib_epoch=self.price_per_gib_epoch,
            egress_price_per_gib=self.egress_price_per_gib,
            capacity_bytes=self.capacity_bytes,
            longest_term_epochs=self.longest_term_epochs or calendar_epochs,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """What `set_up` did."""

    config: Config
    operator: Address
    registered_now: bool


Choose = Callable[[int], str | None]
"""Says for a chain's id what a new key is locked with; None keeps it in clear."""


async def set_up(
    home: Path,
    plan: FarmPlan,
    tell: Callable[[str], None] = lambda _: None,
    *,
    passphrases: Passphrases = NO_PASSPHRASES,
    choose: Choose = lambda _: None,
) -> SetUp:
    """Make the key, register, write farm.json; or bring a farm that is there in line with the plan.

    `tell` gets sentences for the operator before any money is asked for. Raises NotFunded, ConfigInvalid,
    KeyInvalid, FarmerForeign, Lapsed, ChainError, and what `grange.keystore` raises for a passphrase.
    """
    split_endpoint(plan.endpoint)
    changed_fees(FeeSettings(), FeeChoice(max_fee_gwei=plan.max_fee_gwei))
    make_home(home)
    # Else two at once would both find no farmer, and register two.
    lock = HomeLock.in_home(home, on_wait=lambda: tell("Another `farm init` is running; waiting for it."))
    async with lock.held():
        return await _set_up(home, plan, tell, passphrases, choose)


async def _set_up(
    home: Path, plan: FarmPlan, tell: Callable[[str], None], passphrases: Passphrases, choose: Choose
) -> SetUp:
    known = load_config(home) if (home / CONFIG_NAME).exists() else None
    fees = known.fees if known else FeeSettings()
    fees = changed_fees(fees, FeeChoice(max_fee_gwei=plan.max_fee_gwei))
    network = plan.network
    if known and known.market == network.market and known.genesis_hash is not None:
        network = network.model_copy(update={"genesis_hash": known.genesis_hash})
    async with open_network(network, trust=plan.trust_market) as (chain, network):
        _check_same_farm(home, known, plan, chain)
        if make_key(home, lambda: choose(chain.chain_id)):
            tell(
                f"Made the operator's key. Back up {home / KEY_NAME}: without it nobody can run this farm, "
                "and if no other owner is named, nobody can take its money out."
            )
        wallet = load_key(home, passphrases)
        sender, owners = (
            burying_sender(chain, wallet, policy=fees.policy),
            accepted_owners(home, wallet, plan.owner),
        )
        if known is None:
            farmer = await find_farmer(chain, owners, wallet.address, since_block=_noted_start(home))
        else:
            farmer = await read_ours(chain, known, owners, wallet.address)
            await check_not_lapsed(chain, farmer)
        stake = max(plan.stake, farmer.stake if farmer else 0)
        parameters = chain.parameters
        offer = plan.offer(parameters.grid_epochs * parameters.max_books)
        for sentences in describe_cautions(chain):
            tell(sentences)
        tell(describe_coverage(stake, offer, parameters.collateral_epochs, chain.unit))
        start_block = known.start_block if known else await _note_start(home, chain)
        registered_now = farmer is None
        if farmer is None:
            _check_min_stake(plan, chain)
            farmer = await _register(sender, plan, offer)
        else:
            await _bring_in_line(sender, farmer, plan, offer)
        config = _config(chain, plan, farmer, start_block, network)
        if known is not None:
            config = config.model_copy(update={name: getattr(known, name) for name in KEPT_SETTINGS})
        config = config.model_copy(update={"fees": fees})
        save_config(home, config)
        if farmer.committed_rate == 0:
            # There is nothing to lose yet. Else an empty folder may be that of a disk that is not mounted.
            begin_volume(home, config)
        (home / PENDING_NAME).unlink(missing_ok=True)
        return SetUp(config=config, operator=wallet.address, registered_now=registered_now)


async def change(
    home: Path,
    config: Config,
    wallet: Wallet,
    changed: Config,
    *,
    add_stake: int = 0,
    owner: Address | None = None,
) -> None:
    """Announce a changed offer or endpoint, and add to the stake.

    Stake goes to no owner but a key in the home or `owner`, whatever farm.json says: an older program wrote
    there whose farmer it found. Raises NotFunded, FarmerForeign, Lapsed, ChainError.
    """
    async with connect(config) as chain:
        sender = burying_sender(chain, wallet, policy=config.fees.policy)
        owners = accepted_owners(home, wallet, owner) if add_stake else {Address(config.owner)}
        farmer = await read_ours(chain, config, owners, wallet.address)
        await check_not_lapsed(chain, farmer)
        if (farmer.endpoint, farmer.offer) != (changed.endpoint, changed.offer):
            await sender.send(
                calls.update_farmer(config.farmer, endpoint=changed.endpoint, offer=changed.offer)
            )
        if add_stake:
            await _add_stake(sender, config.farmer, add_stake)


async def withdraw(
    config: Config, wallet: Wallet, to: Address | None, amount: int | None
) -> tuple[int, Receipt]:
    """Pay out of the wallet's earnings, to the owner if nobody is named, all if no amount is.

    Raises NotOwner when the earnings are another key's, NotFunded when there is less than asked for.
    """
    _check_owner(config, wallet)
    async with connect(config) as chain:
        return await pay_out(chain, wallet, config.fees, to or wallet.address, amount)


async def unstake(
    config: Config, wallet: Wallet, amount: int | None, agree: Callable[[str], None] = lambda _: None
) -> tuple[int, Receipt]:
    """Move stake that answers for nothing into the owner's earnings, all that is free if no amount is given.

    Before all is taken `agree` is told what that means, and raises if it is not to be.

    Raises NotOwner when the stake is another key's, NotFunded when less than that is free, Lapsed.
    """
    _check_owner(config, wallet)
    async with connect(config) as chain:
        farmer, unit = await chain.farmer(config.farmer), chain.unit
        await check_not_lapsed(chain, farmer)
        needed = chain.parameters.collateral_epochs * farmer.committed_rate
        leaves = not needed and amount in (None, farmer.stake)
        kept = 0 if leaves else max(needed, chain.parameters.min_stake)
        free = max(0, farmer.stake - kept)
        wanted = free if amount is None else amount
        if wanted > free or wanted == 0:
            raise NotFunded(
                f"{unit.exact(free)} of the {unit.exact(farmer.stake)} at stake can be freed.",
                detail="The rest answers for what is kept, or is the least that a farmer of this market has.",
                hint="Ask for less, or wait until orders are over.",
            )
        if leaves:
            agree(
                f"This frees {unit.exact(wanted)} of the {unit.exact(farmer.stake)} at stake. "
                "With that the farmer leaves the market for good: to come back, set up a new one. To free "
                "less, use --amount."
            )
        elif amount is None:
            agree(
                f"This frees {unit.exact(wanted)} of the {unit.exact(farmer.stake)} at stake. "
                "What stays answers for what is kept now. From then on the farm can take nothing new, until "
                "there is more stake: grange farm update --add-stake. To free less, use --amount."
            )
        # Not an amount where all is taken: anyone can add a unit meanwhile.
        call = calls.unstake(config.farmer, calls.ALL_STAKE if leaves else wanted)
        return wanted, await burying_sender(chain, wallet, policy=config.fees.policy).send(call)


def _check_owner(config: Config, wallet: Wallet) -> None:
    if wallet.address != config.owner:
        raise NotOwner(
            f"Farmer {config.farmer_id} pays {config.owner}, and this key is {wallet.address}.",
            hint="Give the owner's key with --owner-key FILE.",
        )


def _check_same_farm(home: Path, known: Config | None, plan: FarmPlan, chain: Chain) -> None:
    """Raise ConfigInvalid when the home holds a farm of another market, or of another owner than the
    plan's."""
    if known is None:
        return
    if (known.market, known.chain_id) != (chain.market, chain.chain_id):
        raise ConfigInvalid(
            f"{home} holds farmer {known.farmer_id} of market {known.market} on chain {known.chain_id}.",
            hint="Use another --home for another market.",
        )
    if plan.owner not in (known.owner, None):
        raise ConfigInvalid(
            f"Farmer {known.farmer_id} belongs to {known.owner}, and its owner cannot be changed.",
            hint="Leave --owner as it was, or use another --home for another farmer.",
        )


def _check_min_stake(plan: FarmPlan, chain: Chain) -> None:
    least, unit = chain.parameters.min_stake, chain.unit
    if plan.stake < least:
        raise ConfigInvalid(
            f"A farmer of this market has at least {unit.exact(least)} at stake, not "
            f"{unit.exact(plan.stake)}.",
            hint="Give more with --stake.",
        )


async def _note_start(home: Path, chain: Chain) -> int:
    """The block before which no event concerns us, kept from the first try on."""
    noted = _noted_start(home)
    if noted is not None:
        return noted
    start_block = (await chain.head()).number
    write_private(home / PENDING_NAME, json.dumps({"start_block": start_block}) + "\n")
    return start_block


def _noted_start(home: Path) -> int | None:
    """The block that an earlier try noted; None if there was none. Raises ConfigInvalid."""
    path = home / PENDING_NAME
    if not path.exists():
        return None
    try:
        return int(parse_json(path.read_bytes())["start_block"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigInvalid(
            f"{path} cannot be read: {error}.",
            detail="It tells the block before the farm was registered.",
            hint='Write it again as {"start_block": NUMBER}, or remove it if nothing was registered yet.',
        ) from error


async def _register(sender: Sender, plan: FarmPlan, offer: Offer) -> Farmer:
    chain = sender.chain
    await check_funds(sender, plan.stake)

    async def make() -> Call:
        return calls.register(
            owner=plan.owner or sender.address,
            operator=sender.address,
            endpoint=plan.endpoint,
            offer=offer,
            stake=plan.stake,
            permit=await permissions.permit(plan.stake, await permissions.basis()),
        )

    permissions = Permissions(chain, sender)
    # A reorg could give the farmer's number to somebody else, so it is noted only when it is buried.
    receipt = await sender.send(make)
    return await chain.farmer(FarmerId(receipt.event("FarmerRegistered").args["farmer"]))


async def _bring_in_line(sender: Sender, farmer: Farmer, plan: FarmPlan, offer: Offer) -> None:
    keeps_port = split_endpoint(plan.endpoint)[1] == 0
    endpoint = farmer.endpoint if keeps_port else plan.endpoint
    if (farmer.endpoint, farmer.offer) != (endpoint, offer):
        await sender.send(calls.update_farmer(farmer.id, endpoint=endpoint, offer=offer))
    if plan.stake > farmer.stake:
        await _add_stake(sender, farmer.id, plan.stake - farmer.stake)


async def _add_stake(sender: Sender, farmer: FarmerId, amount: int) -> None:
    await check_funds(sender, amount)
    await allow(sender, amount)
    await sender.send(calls.add_stake(farmer, amount))


def _config(chain: Chain, plan: FarmPlan, farmer: Farmer, start_block: int, network: Network) -> Config:
    return Config(
        rpc_url=network.rpc,
        chain_id=chain.chain_id,
        market=chain.market,
        farmer_id=farmer.id,
        owner=farmer.owner,
        start_block=start_block,
        genesis_hash=network.genesis_hash,
        market_pins=chain.pins,
        endpoint=plan.endpoint,
        data_folder=plan.data_folder.absolute(),
        reserve_bytes=plan.reserve_bytes,
        offer_terms=offer_file(plan.offer(chain.parameters.grid_epochs * chain.parameters.max_books)),
        redeem_at=DEFAULT_REDEEM_AT_TOKENS * chain.unit.one,
        market_parameters=parameters_file(chain.parameters),
        token=TokenFile(symbol=chain.unit.symbol, decimals=chain.unit.decimals),
    )
