"""`keys card`: the recovery card, and a drill with it. `keys encrypt`: a passphrase for what is kept here.
`keys delegate`: keys that spend on other devices.

Decides what is asked and shown. Leaves the card to `recovery_card`, delegates to `delegates`, what a
device is given to `delegate_bundle`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from grange.chain import calls
from grange.chain.network_file import Network, open_network
from grange.cli.network_options import TrustOption
from grange.cli.passphrase_options import (
    changes_passphrase,
    command_passphrases,
    new_passphrase,
    opens_keys,
)
from grange.keystore.passphrases import Passphrases
from grange.storage.atomic_file import create_file
from grange.times import BlockClock
from grange.token_unit import TokenUnit
from grange.types import Address, Epoch, address_from
from grange_client.cli.card_source import read_card
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose
from grange_client.cli.commands.wallet_calls import Account, print_calls, revocation, wallet_calls
from grange_client.cli.screens.tables import facts, new_table
from grange_client.delegates import NOTHING, Delegate, Limits
from grange_client.drive.drive_name import MAIN
from grange_client.drives import Drives
from grange_client.errors import AlreadySetUp, BadCard, NotAccount
from grange_client.keys.config import Config, home_path, load, load_card, load_network
from grange_client.keys.delegate_bundle import DelegateBundle, made_up_passphrase
from grange_client.keys.identity_file import relock_home
from grange_client.keys.recovery_phrase import DelegateDrive
from grange_client.packs.drive_secrets import drive_secret, give_drive

keys = typer.Typer(
    help="Your recovery card, your passphrase, and keys of other devices.", no_args_is_help=True
)
delegate = typer.Typer(
    help="Keys that store and read for you without your recovery phrase.", no_args_is_help=True
)
keys.add_typer(delegate, name="delegate")
keys.command("wallet-calls")(wallet_calls)

Key = Annotated[str, typer.Argument(metavar="ADDRESS", help="The delegate's address.")]
PerEpoch = Annotated[
    str, typer.Option("--per-epoch", metavar="TOKENS", help="The most that it may spend in an epoch.")
]
InAll = Annotated[
    str,
    typer.Option("--in-all", metavar="TOKENS", help="The most that it will ever have spent, in all."),
]
Epochs = Annotated[int, typer.Option("--epochs", min=1, help="For how many epochs, with this one.")]


@keys.command("card")
@opens_keys
def card(
    check: Annotated[
        str | None,
        typer.Option(
            "--check",
            metavar="FILE|-",
            help="Try a card that you have kept, in place of printing one; - reads it from standard input.",
        ),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Print the card of a contract wallet for which delegates of this home store.",
        ),
    ] = None,
    trust_market: TrustOption = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Print the recovery card again, or try one: what a new computer would do with it, without one."""
    kept = load_card(home_path(home), command_passphrases())
    if account is not None:
        if check is not None:
            raise typer.BadParameter("A card that is tried has its account on it: leave --account out.")
        kept = replace(kept, account=address_from(account))
    if trust_market and check is None:
        raise typer.BadParameter("--trust-market is for --check.")
    if check is None:
        common.print_card(kept)
        return
    given = read_card(check)
    if given.phrase != kept.phrase:
        raise BadCard(
            "The card has another recovery phrase than this home.",
            hint="`grange keys card` prints the card of this home.",
        )
    if kept.account is not None and given.account != kept.account:
        raise BadCard(
            "The card does not name this home's account, and would not bring its orders back.",
            hint="`grange keys card` prints the card of this home.",
        )
    if (given.network.chain_id, given.network.market) != (kept.network.chain_id, kept.network.market):
        raise BadCard(
            "The card names another market than this home.",
            hint="`grange keys card` prints the card of this home.",
        )
    if given.network.first_block > kept.network.first_block:
        raise BadCard(
            f"The card's first block is {given.network.first_block}, and this home's is "
            f"{kept.network.first_block}: by it, older orders would not be found.",
            hint="`grange keys card` prints the card of this home.",
        )
    # The card does not say which of the chains with this id is meant, and the home knows.
    genesis = load_network(home_path(home)).genesis_hash
    common.run(_try(given.network.model_copy(update={"genesis_hash": genesis}), trust_market))
    common.out.print(
        "The card brings everything back: its words are this home's, and its endpoints show the market."
    )


async def _try(network: Network, trust: bool) -> None:
    """Connect by the card's endpoints, and by no others. Raises ChainError."""
    async with open_network(network, trust=trust):
        pass


@keys.command("encrypt")
@changes_passphrase
def encrypt(home: Home = None, verbose: Verbose = False) -> None:
    """Lock the recovery phrase, or a delegate's key, with a passphrase, or with another one."""
    folder = home_path(home)
    load_network(folder)

    def choose(is_locked: bool) -> tuple[str | None, bool]:
        chosen = new_passphrase("the keys", is_locked=is_locked)
        return chosen.passphrase, chosen.in_keyring

    path = relock_home(folder, command_passphrases(), choose)
    common.out.print(f"Written again: {path}", soft_wrap=True)
    common.out.print("Copies of the old file, in backups too, open as before.")


@delegate.command("new")
@opens_keys
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What the device is to be given.")],
    *,
    per_epoch: PerEpoch,
    in_all: InAll,
    epochs: Epochs,
    device_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Whose first line is to open the key there; one is made up if not given."
        ),
    ] = None,
    no_encryption: Annotated[
        bool, typer.Option("--no-encryption", help="Without one: anyone who sees the file is the device.")
    ] = False,
    account: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A contract wallet that it is to act for, in place of this home's account; the wallet "
            "itself authorizes it (see `grange keys wallet-calls`).",
        ),
    ] = None,
    drive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A drive that it can read and write, such as main; may be given several times.",
        ),
    ] = None,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Make a key for another device: a file for `grange init --delegate`, authorized to spend so much."""
    if no_encryption and device_passphrase_file is not None:
        raise typer.BadParameter("Give --device-passphrase-file or --no-encryption, not both.")
    config = load(home_path(home), command_passphrases())
    if config.identity.delegate_of is not None:
        raise NotAccount(
            "This home is a delegate's: it makes no others.", hint="Do it where the recovery phrase is."
        )
    given = None
    if device_passphrase_file is not None:
        given = Passphrases(files=[device_passphrase_file], tell=common.err.print).choose("the key")
    passphrase = None if no_encryption else given or made_up_passphrase()
    wallet = _wallet_of(account, config)
    given_drives = _drives_called(drive or [], config, home)
    bundle, address = DelegateBundle.new(config, passphrase, account=wallet, drives=given_drives)
    try:
        create_file(file, bundle.text())
    except FileExistsError:
        raise AlreadySetUp(f"{file} is there, and was left as it is.", hint="Give another name.") from None
    rows = [("delegate", address), ("account", wallet or config.identity.account), ("file", str(file))]
    rows += [("drive", one.name) for one in given_drives]
    common.out.print(facts(rows))
    if passphrase is not None and given is None:
        # Before anything can fail: nobody could open the file.
        common.out.print(f"\nIts passphrase, which is kept nowhere: {passphrase}", soft_wrap=True)
    if wallet is not None:
        common.out.print(
            "\nThe wallet authorizes it by what this prints: grange keys wallet-calls "
            f"--delegate {address} --per-epoch {per_epoch} --in-all {in_all} --epochs {epochs}\n"
            "What this key stores, the recovery phrase of this home opens too, if it is told whose it is: "
            f"grange init --phrase --account {wallet}. `grange keys card --account {wallet}` prints a card "
            "that says so.",
            soft_wrap=True,
        )
    else:
        _authorize(home, address, per_epoch, in_all, epochs)
    common.out.print(
        "\nBring that file to the device, and there: grange init --delegate FILE. Who can open it reads what "
        "the device stores, and the drives that were named, and spends up to the limits. Send some gas "
        "tokens to the delegate's address."
    )


@delegate.command("authorize")
@opens_keys
def authorize(
    address: Key,
    *,
    per_epoch: PerEpoch,
    in_all: InAll,
    epochs: Epochs,
    account: Account = None,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Set what a delegate may spend from now on; what it spent before counts."""
    _authorize(home, address_from(address), per_epoch, in_all, epochs, account)


@delegate.command("revoke")
@opens_keys
def revoke(address: Key, account: Account = None, home: Home = None, verbose: Verbose = False) -> None:
    """Let a delegate place nothing any more. What it placed goes on, and farmers are paid for reads."""
    wallet = _wallet_of(account, load(home_path(home), command_passphrases()))

    async def run() -> None:
        async with common.renter(home, unlock=wallet is None) as renter:
            if wallet is not None:
                common.err.print(_WALLET_CALLS.format(wallet=wallet))
                print_calls(renter, [revocation(address_from(address))])
                return
            receipt = await renter.delegates.authorize(address_from(address), NOTHING)
            common.err.print(f"Revoked, in block {receipt.block}.")

    common.run(run())


@delegate.command("list")
def list_delegates(
    account: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Those of a contract wallet, in place of this home's account."),
    ] = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Show every delegate, what it may spend and what it has spent."""
    of = None if account is None else address_from(account)

    async def run() -> None:
        async with common.renter(home, unlock=False) as renter:
            listed, clock = await renter.delegates.listed(of), await renter.market.clock()
        if as_json:
            common.print_json([_json(one) for one in listed])
        else:
            common.out.print(
                _table(listed, clock, renter.market.unit) if listed else "No key was authorized yet."
            )

    common.run(run())


_WALLET_CALLS = "Nothing was sent. The wallet {wallet} has to call:"


def _wallet_of(account: str | None, config: Config) -> Address | None:
    """The contract wallet that is meant: the one that is named, or the account of a home that acts for one.
    None if the home's own account is."""
    named = config.identity.contract_wallet if account is None else address_from(account)
    return None if named == config.identity.wallet.address else named


def _drives_called(names: list[str], config: Config, home: Path | None) -> list[DelegateDrive]:
    """The keys of these drives. Raises UnknownDrive, and the errors of the chain if it has to be asked which
    they are."""

    async def numbers() -> dict[str, int]:
        async with common.renter(home) as renter:
            with common.display(renter) as display:
                drives = Drives(renter, watch=display)
                return {name: await drives.number_of(name) for name in names}

    found = dict.fromkeys(names, 0) if set(names) <= {MAIN} else common.run(numbers())
    secrets = {number: (drive_secret(config.identity, number), name) for name, number in found.items()}
    return [give_drive(secret, name) for secret, name in secrets.values()]


def _authorize(  # noqa: PLR0917  as the options of the commands stand
    home: Path | None,
    address: Address,
    per_epoch: str,
    in_all: str,
    epochs: int,
    account: str | None = None,
) -> None:
    wallet = _wallet_of(account, load(home_path(home), command_passphrases()))

    async def run() -> None:
        async with common.renter(home, unlock=wallet is None) as renter:
            unit, until = renter.market.unit, Epoch((await renter.market.clock()).epoch + epochs)
            if wallet is not None:
                amounts = {"per_epoch": unit.parse(per_epoch), "in_all": unit.parse(in_all)}
                common.err.print(_WALLET_CALLS.format(wallet=wallet))
                print_calls(renter, [calls.authorize(address, until_epoch=until, **amounts)])
                return
            limits = Limits(per_epoch=unit.parse(per_epoch), in_all=unit.parse(in_all), until_epoch=until)
            receipt = await renter.delegates.authorize(address, limits)
            common.err.print(f"Authorized until epoch {until}, in block {receipt.block}.")
            await common.warn_of_vault(renter, spending=limits.per_epoch)

    common.run(run())


def _table(listed: list[Delegate], clock: BlockClock, unit: TokenUnit) -> Any:
    table = new_table("delegate|", ">in an epoch", ">spent in this", ">in all", ">spent", "until")
    for one in listed:
        shown = one.delegation
        over = clock.epoch >= shown.until_epoch
        table.add_row(
            one.address,
            unit.exact(shown.per_epoch),
            unit.exact(shown.spent_in_epoch),
            unit.exact(shown.in_all),
            unit.exact(shown.spent),
            "over" if over else clock.describe_epoch(shown.until_epoch),
        )
    return table


def _json(one: Delegate) -> dict[str, Any]:
    shown = one.delegation
    return {
        "delegate": one.address,
        "per_epoch": str(shown.per_epoch),
        "in_all": str(shown.in_all),
        "until_epoch": shown.until_epoch,
        "spent": str(shown.spent),
        "spent_in_epoch": str(shown.spent_in_epoch),
        "left": str(shown.left_for_orders),
    }
