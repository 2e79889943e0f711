"""`grange market`: deploy a market, describe one, and see whether one is Grange's.

    deploy      looks at the chain, deploys the parts by a preset, writes the network's file
    describe    where a market is, and what its parameters mean
    verify      looks at its code and its origin
    presets     the parameters that `deploy` offers, with a reason for each
    costs       what gas comes to in a month, beside the rent
    address     whose key is in a file, made if there is none: `market_account`
    give        money of that account for members of a club: the same

Decides what is asked and shown. Leaves the chain to `chain_probe`, deploying to `deploying`, what a market
must be to `market_check` and what its parameters mean to `presets`.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from grange.chain import Chain, InsufficientFunds, Sender, Timeouts, Wallet, read_block_clock
from grange.chain.answers import quantity
from grange.chain.call_sizes import PROOF, extend, place
from grange.chain.chain_probe import ChainUnfit, probe_chain
from grange.chain.confirmations import default_confirmations
from grange.chain.deploying import (
    deploy_market,
    deploy_token,
    find_factory,
    find_token,
    size_to_deploy,
    unmarketed,
)
from grange.chain.deployment import PARTS
from grange.chain.endpoint import as_urls, is_of_this_computer, public_part
from grange.chain.fee_settings import FeeSettings
from grange.chain.gas_cost import read_offered_prices
from grange.chain.key_file import key_from_file
from grange.chain.market_check import check_market
from grange.chain.market_pins import ONE_ENDPOINT
from grange.chain.network_file import (
    FILE_MODE,
    Network,
    NetworkInvalid,
    open_network,
    write_network,
)
from grange.chain.presets import PRESETS, Preset, differences, nearest_preset
from grange.chain.rpc import Rpc
from grange.chain.token_facts import TokenFacts
from grange.cli import market_account
from grange.cli.confirm import confirm
from grange.cli.fees import (
    FeeChoice,
    GasUsdCommandOption,
    GasUsdOption,
    MaxFeeOption,
    changed_fees,
    describe_gas,
    look_at_fees,
)
from grange.cli.market_costs import CostSettings, cost_json, cost_lines
from grange.cli.network_options import (
    FirstBlockOption,
    MarketOption,
    NetworkOption,
    RpcOption,
    chosen_network,
    one_or_several,
)
from grange.cli.parameter_words import describe_difference, describe_price_steps, describe_value
from grange.cli.passphrase_options import command_passphrases, opens_keys
from grange.cli.presenter import Guidance, explained, plain_text, print_prose
from grange.errors import Misuse
from grange.messages import NOBODY
from grange.plain_errors import describe_invalid
from grange.storage.atomic_file import PRIVATE_MODE
from grange.times import format_duration
from grange.types import Address, Parameters, address_from
from grange.units import MAX_RATE, format_gas_tokens, parse_gwei, parse_usd

PresetName = Literal["mainnet", "rollup", "test"]
SHOWN_CALLS: Final = {
    "a farmer's proof": PROOF,
    "storing with 30 farmers": place(30),
    "extending with 30": extend(30),
}
NEW_TOKEN_SUPPLY: Final = 10**27
LEAST_DECIMALS: Final = 6
"""Of a token that is worth about a dollar: with fewer, prices are coarse (docs/live.md)."""
MEASURABLE_BLOCKS: Final = 100
"""From that height on a chain's pace says something."""

app = typer.Typer(
    help="Deploy a market, describe one, and see whether one is Grange's.", no_args_is_help=True
)
app.command()(market_account.address)
app.command()(market_account.give)
_out = Console(markup=False, emoji=False, highlight=False)
Json = Annotated[bool, typer.Option("--json", help="One JSON value, amounts as strings in base units.")]


@app.command()
@opens_keys
def deploy(
    *,
    rpc: RpcOption = None,
    key_file: Annotated[Path, typer.Option(help="A file with the private key of the account that pays.")],
    preset: Annotated[PresetName, typer.Option(help="For which kind of chain: see `grange market presets`.")],
    token: Annotated[
        str | None,
        typer.Option(help="The token's address. With the preset test a token is made if not given."),
    ] = None,
    new_token: Annotated[
        bool,
        typer.Option("--new-token", help="Make a token for this market: all of it is the account's."),
    ] = False,
    output: Annotated[Path, typer.Option(help="The network's file to write.")] = Path("network.json"),
    name: Annotated[str, typer.Option(help="What to call the network: small letters, digits and -.")] = "",
    max_fee_gwei: MaxFeeOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Look whether a market can live on a chain, deploy one, and write its network's file."""
    if not rpc:
        raise typer.BadParameter("Give --rpc.")
    if new_token and token is not None:
        raise typer.BadParameter("Give --token or --new-token, not both.")
    if token is None and not new_token and preset != "test":
        raise typer.BadParameter(
            "Give --token with its address, or --new-token to have one made: it is worth what those who use "
            "the market make of it."
        )
    if output.exists():
        raise typer.BadParameter(f"{output} exists already: move it away, or choose another --output.")
    if not os.access(output.absolute().parent, os.W_OK):
        raise typer.BadParameter(f"{output} can't be written: choose another --output.")
    with explained(Guidance(fees="--max-fee-gwei")):
        planned = _planned(rpc, name)
        fees = changed_fees(FeeSettings(), FeeChoice(max_fee_gwei=max_fee_gwei))
        wallet = key_from_file(key_file, command_passphrases())
        address = address_from(token) if token else None
        network = asyncio.run(_deploy(planned, wallet, PRESETS[preset], address, fees, agreed=yes))
        has_secret = any(public_part(url) != url.rstrip("/") for url in rpc)
        write_network(output, network, mode=PRIVATE_MODE if has_secret else FILE_MODE)
        _say(f"\nWritten to {output}: give it to farmers and renters, for --network.")
        if has_secret:
            _say("Its endpoint may hold a key of yours: put public endpoints into it first.")


@app.command()
def describe(  # noqa: PLR0917  typer makes options of parameters
    network: NetworkOption = None,
    rpc: RpcOption = None,
    market: MarketOption = None,
    first_block: FirstBlockOption = None,
    gas_usd: GasUsdOption = None,
    gas_usd_command: GasUsdCommandOption = None,
    as_json: Json = False,
) -> None:
    """Show where a market is, what its parameters mean, and what calls cost now. Nothing is said of whether
    it is Grange's."""
    with explained(as_json=as_json):
        chosen = chosen_network(network, rpc, market, first_block)
        choice = FeeChoice(gas_usd=gas_usd, gas_usd_command=gas_usd_command)
        asyncio.run(_describe(chosen, changed_fees(FeeSettings(), choice), as_json=as_json))


@app.command()
def verify(
    network: NetworkOption = None,
    rpc: RpcOption = None,
    market: MarketOption = None,
    first_block: FirstBlockOption = None,
) -> None:
    """Look whether a market is Grange's: the code of all its parts, and how it came to be."""
    with explained():
        asyncio.run(_verify(chosen_network(network, rpc, market, first_block)))


@app.command()
def presets() -> None:
    """Show the parameters of each preset, with a reason for each."""
    for preset in PRESETS.values():
        _say(f"{preset.name}: {preset.about}")
        table = _table("parameter", "value", "reason")
        for one in fields(Parameters):
            if one.name != "token":
                table.add_row(one.name, preset.value_text(one.name), preset.reasons[one.name])
        _out.print(table)
        _out.print()


@app.command()
def costs(
    *,
    preset: Annotated[PresetName, typer.Option(help="For which kind of chain: see `grange market presets`.")],
    gas_gwei: Annotated[
        str, typer.Option(metavar="GWEI,…", help="What a unit of gas costs; several with commas.")
    ],
    gas_usd: Annotated[str, typer.Option(metavar="DOLLARS", help="What a gas token is worth.")],
    data_gwei: Annotated[
        str | None,
        typer.Option(metavar="GWEI", help="What a rollup charges for a byte: `describe` says it of a chain."),
    ] = None,
    tb_usd: Annotated[
        str, typer.Option(metavar="DOLLARS", help="What a farmer gets for a TB that it keeps for a month.")
    ] = "2",
    as_json: Json = False,
) -> None:
    """Show what farmers and renters pay for gas in a month, beside the rent: from what size on it is worth
    it. Asks no chain."""
    with explained(as_json=as_json):
        settings = CostSettings(
            preset=PRESETS[preset],
            gas_wei=tuple(parse_gwei(one.strip()) for one in gas_gwei.split(",")),
            microusd=_dollars(gas_usd),
            byte_wei=0 if data_gwei is None else parse_gwei(data_gwei),
            tb_microusd=_dollars(tb_usd),
        )
        if as_json:
            print(json.dumps(cost_json(settings)))
            return
        for line in cost_lines(settings):
            print(line)


def _dollars(text: str) -> int:
    """More than none. Raises Misuse."""
    amount = parse_usd(text)
    if not amount:
        raise Misuse(f"{text!r} dollars are nothing: give more than 0")
    return amount


def _planned(rpc: Sequence[str], name: str) -> Network:
    """The network before there is a market: what is wrong with it is said before anything is paid. Raises
    NetworkInvalid."""
    try:
        return Network(name=name, rpc=one_or_several(rpc), market=NOBODY)
    except ValidationError as error:
        raise NetworkInvalid(
            f"{describe_invalid(error, '--')}.",
            hint="--name takes small letters, digits and -; --rpc an endpoint, such as https://example.org.",
        ) from None


async def _deploy(
    planned: Network,
    wallet: Wallet,
    preset: Preset,
    token: Address | None,
    fees: FeeSettings,
    *,
    agreed: bool,
) -> Network:
    async with Rpc(planned.rpc, Timeouts()) as rpc:
        findings = await probe_chain(rpc)
        for one in findings:
            _say(f"  {'ok' if one.is_right else 'NO':<3} {one.what}: {one.text}")
        if unfit := [one for one in findings if not one.is_right]:
            raise ChainUnfit(rpc.url, unfit)
        chain_id = quantity(await rpc.call("eth_chainId"), "a chain id")
        parameters = preset.parameters(token or NOBODY, decimals=18)
        sender = Sender(unmarketed(rpc, chain_id, parameters), wallet, policy=fees.policy)
        if token is not None:
            facts = await sender.chain.token_facts()
            _say(f"\ntoken  {facts.text}")
            _say(f"The most that a slot can cost an epoch is {facts.unit.rounded_down(MAX_RATE)}.")
            if facts.unit.decimals < LEAST_DECIMALS:
                _say(
                    f"With so few decimals one slot costs {facts.unit.exact(1)} an epoch at least: "
                    "prices are rounded up to that."
                )
            parameters = preset.parameters(token, decimals=facts.unit.decimals)
        await _show_epochs(unmarketed(rpc, chain_id, parameters), preset)
        await _check_money(rpc, sender, parameters)
        factory = await find_factory(rpc)
        if factory is None:
            _say("The chain has no factory for CREATE2 that we know: the account deploys the parts itself.")
        if not agreed:
            confirm(f"Deploy a market with the preset {preset.name}?")
        if token is None:
            ours = await find_token(
                sender, NEW_TOKEN_SUPPLY, lambda one: preset.parameters(one, decimals=18), factory=factory
            )
            ours = ours or await deploy_token(sender, NEW_TOKEN_SUPPLY)
            parameters = preset.parameters(ours, decimals=18)
            _say(f"A token of its own is at {parameters.token}: all of it is {wallet.address}'s.")
        deployed = await deploy_market(sender, parameters, factory=factory, tell=_say)
        if deployed.gas_used:
            _say(f"It took {deployed.gas_used:,} gas: {format_gas_tokens(deployed.fee_wei)} gas tokens.")
        for depth in range(default_confirmations(chain_id)):
            await sender.comes_block_after(deployed.first_block + depth)
    found = {"market": deployed.market, "chain_id": chain_id, "first_block": deployed.first_block}
    made = planned.model_copy(update=found)
    async with open_network(made, trust=True) as (chain, network):
        await _show_verified(chain, network)
        return network


async def _show_epochs(chain: Chain, preset: Preset) -> None:
    """How long an epoch will be at the chain's own pace: a preset is made for one pace."""
    clock = await read_block_clock(chain)
    if clock.block < MEASURABLE_BLOCKS:
        return
    _say(
        f"\nBlocks come every {clock.block_seconds:.3g} s, and an epoch of {chain.parameters.epoch_blocks:,} "
        f"blocks is {format_duration(clock.epoch_seconds)}. The preset {preset.name} is made for one every "
        f"{preset.block_seconds:g} s."
    )


async def _check_money(rpc: Rpc, sender: Sender, parameters: Parameters) -> None:
    """Before anything is sent: half of a market is of no use. Raises InsufficientFunds."""
    size, prices = size_to_deploy(parameters), await read_offered_prices(rpc, sender.policy)
    most = prices.cost_wei(size, transactions=len(PARTS))
    held = await sender.chain.native_balance(sender.address)
    _say(
        f"\nDeploying takes about {size.gas:,} gas, {format_gas_tokens(most)} gas tokens at most as "
        f"fees are now. {sender.address} has {format_gas_tokens(held)}."
    )
    if held < most:
        raise InsufficientFunds(sender.address, f"have {held} want {most}")


async def _describe(chosen: Network, fees: FeeSettings, *, as_json: bool) -> None:
    async with open_network(chosen, trust=True) as (chain, network):
        facts, clock = await chain.token_facts(), await read_block_clock(chain)
        parts = [*reversed(await chain.read("parts")), chain.market]
        preset = nearest_preset(chain.parameters, decimals=facts.unit.decimals)
        now = await look_at_fees(chain.rpc, fees, SHOWN_CALLS)
        if as_json:
            print(json.dumps(_json(chain, network, facts, parts, preset) | {"gas": now.to_json()}))
            return
        longest = chain.parameters.grid_epochs * chain.parameters.max_books * clock.epoch_seconds
        rows = [
            ("market", chain.market),
            ("chain id", str(chain.chain_id)),
            ("first block", str(network.first_block or "not known")),
            *([("shown at", f"{network.explorer}/address/{chain.market}")] if network.explorer else []),
            ("token", facts.text),
            ("prices", describe_price_steps(facts.unit, clock.epoch_seconds)),
            ("blocks", f"one every {clock.block_seconds:.3g} s"),
            ("epochs", format_duration(clock.epoch_seconds)),
            ("orders", f"for {format_duration(longest)} at most"),
            *zip(PARTS[:-1], parts[:-1], strict=False),
        ]
        for name, value in rows:
            _say(f"{name:<14}  {value}")
        table = _table("parameter", "value", preset.name)
        for one in fields(Parameters):
            if one.name != "token":
                usual = getattr(preset.parameters(chain.token, decimals=facts.unit.decimals), one.name)
                is_now = getattr(chain.parameters, one.name)
                table.add_row(one.name, *(describe_value(one.name, it, chain.unit) for it in (is_now, usual)))
        _out.print()
        _out.print(table)
        _explain_parameters(chain.parameters, facts, preset)
        _out.print()
        for line in describe_gas(now):
            _say(line)


async def _verify(chosen: Network) -> None:
    async with open_network(chosen, trust=True) as (chain, network):
        await _show_verified(chain, network)


async def _show_verified(chain: Chain, network: Network) -> None:
    origin = await check_market(chain, first_block=network.first_block)
    facts = await chain.token_facts()
    _say(
        f"\nThe market at {chain.market} on chain {chain.chain_id} is Grange's: the code of its {len(PARTS)} "
        f"parts is that of this version, and it was {origin.text}."
    )
    if origin.how == "endpoint" and not all(map(is_of_this_computer, as_urls(network.rpc))):
        _say(ONE_ENDPOINT)
    _explain_parameters(
        chain.parameters, facts, nearest_preset(chain.parameters, decimals=facts.unit.decimals)
    )


def _explain_parameters(parameters: Parameters, facts: TokenFacts, preset: Preset) -> None:
    others = differences(parameters, decimals=facts.unit.decimals, preset=preset)
    if not others:
        _say(f"Its parameters are those of the preset {preset.name}, for {preset.about}.")
        return
    _say(f"Its parameters are not those of a preset. Beside {preset.name}, for {preset.about}:")
    for one in others:
        _say(f"  {describe_difference(one, facts.unit)}. {one.meaning}")


def _json(
    chain: Chain, network: Network, facts: TokenFacts, parts: Sequence[Address], preset: Preset
) -> dict[str, Any]:
    others = differences(chain.parameters, decimals=facts.unit.decimals, preset=preset)
    return {
        "market": chain.market,
        "chain_id": chain.chain_id,
        "first_block": network.first_block,
        "token": {"address": chain.token, **asdict(facts.unit), "has_permit": facts.has_permit},
        "parts": dict(zip(PARTS, parts, strict=True)),
        "parameters": {
            one.name: str(getattr(chain.parameters, one.name))
            for one in fields(Parameters)
            if one.name != "token"
        },
        "preset": preset.name,
        "differences": [{"name": one.name, "meaning": one.meaning} for one in others],
    }


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _say(text: str) -> None:
    """Endpoints and tokens are others': what a terminal would act on is replaced."""
    print_prose(_out, plain_text(text))
