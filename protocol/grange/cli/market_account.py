"""`grange market address` and `grange market give`: the account that deploys a market, and what it hands out.

    address     whose key is in a file; makes the key if there is none
    give        gas tokens and tokens of that account, for members

Who runs a chain of their own has all its money at first, and no wallet knows that chain. Decides what is
asked and shown. Leaves keys to `grange.chain.key_file`, sending to `grange.chain.transfers`.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from grange.chain import Chain, Sender, Wallet
from grange.chain.fee_settings import FeeSettings
from grange.chain.key_file import address_in_file, create_key, key_from_file
from grange.chain.network_file import Network, find_network, open_network
from grange.chain.transfers import NOTHING_GIVEN, fees_wei, give_each
from grange.cli.confirm import confirm
from grange.cli.fees import FeeChoice, MaxFeeOption, changed_fees
from grange.cli.network_options import NetworkOption
from grange.cli.passphrase_options import command_passphrases, makes_keys, opens_keys, passphrase_for_new
from grange.cli.presenter import Explanation, Guidance, explain, explained
from grange.errors import Category, GrangeError, Misuse, UserError
from grange.types import Address, address_from
from grange.units import format_count, format_gas_tokens, parse_gas_tokens

GUIDANCE: Final = Guidance(fees="--max-fee-gwei")
KeyFile = Annotated[Path, typer.Option(help="A file with the account's private key.")]


@makes_keys
def address(*, key_file: KeyFile) -> None:
    """Show the address of the account that is to deploy a market; makes its key if there is none."""
    with explained():
        if not key_file.exists():
            lock = "grange market address --key-file ANOTHER, with a passphrase"
            create_key(key_file, passphrase_for_new("the account's key", is_devnet=False, lock=lock))
        print(address_in_file(key_file, command_passphrases(), is_checked=True))


@opens_keys
def give(
    addresses: Annotated[list[str], typer.Argument(help="Who gets it, each the same.")],
    *,
    network: NetworkOption = None,
    key_file: KeyFile,
    tokens: Annotated[str, typer.Option(help="How many of the market's tokens.")] = "0",
    gas_tokens: Annotated[str, typer.Option(help="How many gas tokens, which pay the chain's fees.")] = "0",
    max_fee_gwei: MaxFeeOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value: what each has then.")] = False,
) -> None:
    """Give gas tokens and tokens of an account of yours to members. Repeated, it gives again."""
    if network is None:
        raise typer.BadParameter("Give --network.")
    with explained(GUIDANCE, as_json=as_json):
        receivers = [address_from(one) for one in addresses]
        if len(set(receivers)) < len(receivers):
            raise Misuse("An address is given twice.")
        native_wei = parse_gas_tokens(gas_tokens)
        chosen = find_network(network)
        wallet = key_from_file(key_file, command_passphrases())
        fees = changed_fees(FeeSettings(), FeeChoice(max_fee_gwei=max_fee_gwei))
        asyncio.run(
            _give(
                chosen,
                wallet,
                receivers,
                tokens_text=tokens,
                native_wei=native_wei,
                fees=fees,
                agreed=yes,
                as_json=as_json,
            )
        )


async def _give(
    chosen: Network,
    wallet: Wallet,
    receivers: Sequence[Address],
    *,
    tokens_text: str,
    native_wei: int,
    fees: FeeSettings,
    agreed: bool,
    as_json: bool,
) -> None:
    async with open_network(chosen) as (chain, _):
        tokens = chain.unit.parse(tokens_text)
        if not tokens and not native_wei:
            raise Misuse("Nothing is to be given: say how much with --tokens and --gas-tokens.")
        sender = Sender(chain, wallet, policy=fees.policy)
        fee_wei = fees_wei(await sender.gas_prices(), native_wei=native_wei, tokens=tokens)
        each = _Amounts(tokens=tokens, native_wei=native_wei, fee_wei=fee_wei)
        await _check_money(chain, wallet.address, each * len(receivers))
        if not agreed:
            confirm(
                f"Give {chain.unit.exact(tokens)} and {format_gas_tokens(native_wei)} gas tokens to "
                f"{'each of ' if len(receivers) > 1 else ''}{format_count(len(receivers), 'address')}?"
            )
        shown = []

        async def watch(one: Address) -> None:
            held, gas = await chain.token_balance(one), await chain.native_balance(one)
            shown.append({"address": one, "tokens": str(held), "gas_wei": str(gas)})
            said = f"{one} now has {chain.unit.exact(held)} and {format_gas_tokens(gas)} gas tokens"
            # Also with --json: a command that is broken off has told who was paid.
            print(said, file=sys.stderr if as_json else sys.stdout, flush=True)

        left = dict.fromkeys(receivers, NOTHING_GIVEN)
        try:
            await give_each(sender, left, native_wei=native_wei, tokens=tokens, watch=watch)
        except GrangeError as error:
            if left == dict.fromkeys(receivers, NOTHING_GIVEN):
                raise
            raise TransfersMissing(explain(error, GUIDANCE), left) from error
    if as_json:
        print(json.dumps(shown))


class TransfersMissing(UserError):
    """Giving ended after something was sent. `failures` says of each address what it has not got; the others
    have theirs."""

    def __init__(self, why: Explanation, left: dict[Address, str]) -> None:
        others = "All others that you named have" if left else "All that you named have"
        paid = f"{others} what they were to get, and get it again if you repeat this."
        super().__init__(
            why.message,
            detail=f"{paid} {why.detail}".strip(),
            hint=f"Give only what is missing, to those that lack it. {why.hint}".strip(),
            category=why.category,
        )
        self.failures = {str(address): what for address, what in left.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Amounts:
    tokens: int
    native_wei: int
    fee_wei: int

    def __mul__(self, times: int) -> "_Amounts":
        tokens, native_wei, fee_wei = (one * times for one in (self.tokens, self.native_wei, self.fee_wei))
        return _Amounts(tokens=tokens, native_wei=native_wei, fee_wei=fee_wei)


async def _check_money(chain: Chain, giver: Address, wanted: _Amounts) -> None:
    """Before anybody gets anything. Raises UserError."""
    held, gas = await chain.token_balance(giver), await chain.native_balance(giver)
    if wanted.tokens > held:
        lack = f"{giver} has {chain.unit.exact(held)}, and {chain.unit.exact(wanted.tokens)} are to be given."
        hint = "Give less, or give the key of another account."
    elif wanted.native_wei + wanted.fee_wei > gas:
        given = f"{format_gas_tokens(wanted.native_wei)} are to be given, and " if wanted.native_wei else ""
        lack = (
            f"{giver} has {format_gas_tokens(gas)} gas tokens; {given}the chain's fees for that may come to "
            f"{format_gas_tokens(wanted.fee_wei)}."
        )
        less = "Give less, or send" if wanted.native_wei else "Send"
        hint = f"{less} gas tokens to this account first."
    else:
        return
    raise UserError(lack, hint=f"Nothing was sent. {hint}", category=Category.MONEY)
