"""`init`: the recovery phrase and the market, once.

Decides what is asked and checked before anything is written. Leaves the phrase to `recovery_phrase`, the
recovery card to `recovery_card`, the files to `config`.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from grange.chain.confirmations import DEVNET_CHAIN_IDS
from grange.chain.endpoint import as_urls, is_of_this_computer
from grange.chain.market_pins import MarketPins, write_pins
from grange.chain.network_file import Network, open_network
from grange.cli.network_options import (
    FirstBlockOption,
    MarketOption,
    NetworkOption,
    RpcOption,
    TrustOption,
    chosen_network,
    with_endpoints,
)
from grange.cli.parameter_words import describe_cautions
from grange.cli.passphrase_options import command_passphrases, makes_keys, passphrase_for_new
from grange.cli.presenter import print_prose
from grange.types import Address, address_from
from grange_client.cli.card_source import read_card
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Verbose
from grange_client.cli.screens.tables import facts
from grange_client.errors import AlreadySetUp
from grange_client.keys.config import (
    Config,
    home_path,
    is_set_up,
    load_network,
    move_to,
    pins_path,
    set_up,
    set_up_delegate,
)
from grange_client.keys.delegate_bundle import DelegateBundle, read_text
from grange_client.keys.recovery_card import RecoveryCard
from grange_client.keys.recovery_phrase import identity, new_phrase


@makes_keys
def init(
    *,
    network: NetworkOption = None,
    rpc: RpcOption = None,
    market: MarketOption = None,
    first_block: FirstBlockOption = None,
    trust_market: TrustOption = False,
    phrase: Annotated[bool, typer.Option("--phrase", help="Take a recovery phrase that exists.")] = False,
    card: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help="Take a recovery card, which has phrase and network; - reads it from standard input.",
        ),
    ] = None,
    delegate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Be a delegate: take the file that `grange keys delegate new` made for this device.",
        ),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A contract wallet whose orders this home is to bring back, read and look after: those that "
            "its delegates stored, if their keys were made with the same recovery phrase.",
        ),
    ] = None,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Make a recovery phrase, or take yours, and remember the market."""
    folder = home_path(home)
    wallet = None if account is None else address_from(account)
    if delegate is not None:
        others = (card, network, market, first_block, account)
        if phrase or any(one is not None for one in others):
            raise typer.BadParameter("The file has all it takes: beside --delegate only --rpc can be given.")
        _set_up_delegate(folder, delegate, rpc, trust_market)
        return
    if card is not None:
        if phrase or network is not None or market is not None or first_block is not None:
            raise typer.BadParameter(
                "A card has phrase and network: beside --card only --rpc and --account can be given."
            )
        _set_up_by_card(folder, card, rpc, trust_market, home, wallet)
        return
    if is_set_up(folder):
        given = None if network is None else chosen_network(network, rpc, market, first_block)
        _move_or_refuse(folder, given, trust_market)
        return
    checked, pins = common.run(
        _checked_network(chosen_network(network, rpc, market, first_block), trust_market)
    )
    chosen = _ask_phrase() if phrase else new_phrase()
    config = _set_up(folder, chosen, checked, home, wallet)
    _remember(folder, pins)
    if not phrase:
        common.out.print(
            "This is your recovery card. On a new computer it brings back everything you store, and nothing "
            "else does: print it, or copy it by hand, and keep it safe.\n"
        )
        common.print_card(RecoveryCard.of(chosen, checked, account=wallet))
        common.out.print(
            "Anyone who has it has your files and your tokens. `grange keys card --check -` tries what you "
            "have written down.\n"
        )
    common.out.print(facts(_rows(config)))
    _say_wallet(config)
    if phrase:
        common.out.print(
            "\n`grange keys card` prints a recovery card: the phrase alone does not say where your files are."
        )
    else:
        common.out.print("\nSend tokens and some gas tokens to that address. On a devnet:")
        common.out.print(f"  grange devnet fund {config.identity.wallet.address}", soft_wrap=True)


def _set_up(
    folder: Path, phrase: str, network: Network, home: Path | None, account: Address | None
) -> Config:
    """A home with a phrase, which is locked as the command was told, or a person says."""
    where = f" --home {home}" if home else ""
    passphrase = passphrase_for_new(
        "the recovery phrase",
        is_devnet=network.chain_id in DEVNET_CHAIN_IDS,
        lock=f"grange keys encrypt{where}",
    )
    return set_up(folder, phrase=phrase, network=network, passphrase=passphrase, account=account)


def _say_wallet(config: Config) -> None:
    """What a home that acts for a contract wallet can do."""
    if config.identity.contract_wallet is not None:
        common.out.print(
            "\nIts files can be read if the wallet calls this home's signatures its own, or authorizes its "
            f"key. What it has to call for that: grange keys wallet-calls --delegate "
            f"{config.identity.wallet.address} --per-epoch ... --in-all ... --epochs ...",
            soft_wrap=True,
        )


def _set_up_delegate(folder: Path, source: Path, rpc: list[str] | None, trust: bool) -> None:
    """A delegate's home, out of the file that its account made. Its key is opened, to see that it can be."""
    if is_set_up(folder):
        _move_or_refuse(folder, None, trust)
    bundle = DelegateBundle.parse(read_text(source), str(source))
    opened = bundle.open(command_passphrases(), str(source))
    network = with_endpoints(bundle.network, rpc) if rpc else bundle.network
    checked, pins = common.run(_checked_network(network, trust))
    set_up_delegate(folder, network=checked, secret=bundle.secret, where=str(source), pins=pins)
    rows = [("delegate", opened.wallet.address), ("account", opened.account), ("home", str(folder))]
    common.out.print(facts(rows))
    common.out.print(
        f"\nThis device stores and reads for that account. Send some gas tokens to the delegate's address, "
        f"and delete {source}: who has it and its passphrase is this device.",
        soft_wrap=True,
    )


def _set_up_by_card(  # noqa: PLR0917
    folder: Path,
    source: str,
    rpc: list[str] | None,
    trust: bool,
    home: Path | None,
    account: Address | None,
) -> None:
    """A home as the card says, by other endpoints if some are given, and for another contract wallet."""
    if is_set_up(folder):
        _move_or_refuse(folder, None, trust)
    card = read_card(source)
    network = with_endpoints(card.network, rpc) if rpc else card.network
    checked, pins = common.run(_checked_network(network, trust))
    config = _set_up(folder, card.phrase, checked, home, account or card.account)
    _remember(folder, pins)
    common.out.print(facts(_rows(config)))
    _say_wallet(config)
    common.out.print("\nWhat you stored is yours on this computer too: `grange ls` shows it.")


def _remember(folder: Path, pins: MarketPins | None) -> None:
    """By this the next command knows the market again, and also one that a person trusts."""
    if pins is not None:
        write_pins(pins_path(folder), pins)


def _rows(config: Config) -> list[tuple[str, str]]:
    wallet = config.identity.contract_wallet
    return [
        ("address", config.identity.wallet.address),
        *([] if wallet is None else [("account", wallet)]),
        ("market", config.network.market),
        ("chain id", str(config.network.chain_id)),
        ("home", str(config.home)),
    ]


def _move_or_refuse(folder: Path, given: Network | None, trust: bool) -> None:
    """A home that is set up is left as it is, unless its devnet is gone and another runs in its place."""
    was = load_network(folder)
    if given is not None and was.genesis_hash is not None and _may_begin_again(given, was):
        now, pins = common.run(_checked_network(given, trust))
        if now.genesis_hash != was.genesis_hash and (now.chain_id, now.market) == (was.chain_id, was.market):
            moved = move_to(folder, now)
            _remember(folder, pins)
            common.out.print(
                "The devnet was started again: it is a new chain, and this home uses it from now on."
            )
            common.out.print(
                "What was stored on the old one is gone. The recovery phrase and the address are the same."
            )
            if moved:
                common.out.print(f"Kept aside: {', '.join(path.name for path in moved)}", soft_wrap=True)
            return
    raise AlreadySetUp(
        f"{folder} is set up already, and was left as it is.",
        hint="`grange balance` shows its address. Use --home for another.",
    )


def _may_begin_again(given: Network, home: Network) -> bool:
    """Whether the home's chain is a devnet. No other begins again: a stranger that shows another chain under
    its id wants signatures that count on the real one."""
    is_here = all(map(is_of_this_computer, as_urls(given.rpc)))
    return is_here or home.chain_id in DEVNET_CHAIN_IDS


async def _checked_network(network: Network, trust: bool) -> tuple[Network, MarketPins | None]:
    """Look whether the market is there and is Grange's, and remember what its chain says of itself, and what
    its code is."""
    async with open_network(network, trust=trust) as (chain, found):
        for sentences in describe_cautions(chain):
            print_prose(common.err, sentences)
        return found, chain.pins


def _ask_phrase() -> str:
    if sys.stdin.isatty():
        text: str = typer.prompt("The recovery phrase", err=True)
    else:
        text = sys.stdin.readline()
    identity(text)
    return text
