"""`keys wallet-calls`: what a contract wallet has to call, so that a device can rent for it.

Decides what is printed: addresses and data, for the wallet's own page or program to send. Nothing is sent
from here, and no key is opened.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from grange.chain import Call, calls
from grange.chain.codec import market_abi, token_abi
from grange.types import Address, Epoch, address_from
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose
from grange_client.cli.screens.tables import facts
from grange_client.delegates import NOTHING
from grange_client.renter import Renter

Account = Annotated[
    str | None,
    typer.Option(
        "--account",
        metavar="ADDRESS",
        help="A contract wallet, in place of this home's account: what it has to call is printed, nothing is "
        "sent.",
    ),
]
_ALL_OR_NONE = "To authorize a delegate give --delegate, --per-epoch, --in-all and --epochs."


def wallet_calls(  # noqa: PLR0917  typer makes options of parameters
    deposit: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="Move so much from the wallet into its vault.")
    ] = None,
    delegate: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Let this delegate spend.")] = None,
    per_epoch: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="The most that it may spend in an epoch.")
    ] = None,
    in_all: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="The most that it will ever have spent, in all.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="For how many epochs, with this one.")] = None,
    revoke: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Let this delegate place nothing any more.")
    ] = None,
    announce: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="Announce that so much will be taken out.")
    ] = None,
    take_out: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Pay what was announced to this account.")
    ] = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Print what a contract wallet (a Safe) has to call, in this order, so that a device rents for it."""
    if len({one is None for one in (delegate, per_epoch, in_all, epochs)}) > 1:
        raise typer.BadParameter(_ALL_OR_NONE)
    if deposit is delegate is revoke is announce is take_out is None:
        raise typer.BadParameter(
            "Give at least one of --deposit, --delegate, --revoke, --announce and --take-out."
        )

    async def run() -> None:
        async with common.renter(home, unlock=False) as renter:
            market, unit, wanted = renter.market, renter.market.unit, list[Call]()
            if deposit is not None:
                amount = unit.parse(deposit)
                wanted += [calls.approve(market.market, amount), calls.deposit(amount)]
            if delegate is not None:
                until = Epoch((await market.current_epoch()) + (epochs or 0))
                wanted.append(
                    calls.authorize(
                        address_from(delegate),
                        per_epoch=unit.parse(per_epoch or ""),
                        in_all=unit.parse(in_all or ""),
                        until_epoch=until,
                    )
                )
            if revoke is not None:
                wanted.append(revocation(address_from(revoke)))
            if announce is not None:
                wanted.append(calls.request_withdrawal(unit.parse(announce)))
            if take_out is not None:
                wanted.append(calls.withdraw(address_from(take_out)))
            if as_json:
                common.print_json([_encoded(renter, one) for one in wanted])
            else:
                print_calls(renter, wanted)

    common.run(run())


def revocation(delegate: Address) -> Call:
    """The call by which an account revokes a delegate."""
    return calls.authorize(
        delegate, per_epoch=NOTHING.per_epoch, in_all=NOTHING.in_all, until_epoch=NOTHING.until_epoch
    )


def print_calls(renter: Renter, wanted: Sequence[Call]) -> None:
    """Show what a wallet has to call, in this order."""
    for number, one in enumerate((_encoded(renter, call) for call in wanted), 1):
        common.out.print(facts([("call", f"{number}: {one['function']}"), ("to", one["to"])]))
        # Not through rich: it is copied from here.
        print(f"data  {one['data']}\n")


def _encoded(renter: Renter, call: Call) -> dict[str, Any]:
    is_token = call.contract == "token"
    data = (token_abi() if is_token else market_abi()).encode_call(call.function, call.args)
    return {
        "function": call.function,
        "to": renter.market.token if is_token else renter.market.market,
        "value": "0",
        "data": "0x" + data.hex(),
    }
