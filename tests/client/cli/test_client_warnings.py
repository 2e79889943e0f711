"""What commands say of a vault from which mandates may take too little, and of limits that are nearly
reached, whatever else they were run for."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from client_fakes import PARAMETERS, WORDS, World
from test_client_cli import MARKET, Machine, machine
from typer.testing import Result

from grange.chain import Mandate, Order, Receipt
from grange.chain.network_file import Network
from grange.chain.views import Delegation
from grange.types import Address, Epoch, OrderId, address_from
from grange.units import TOKEN
from grange_client.keys.config import set_up

__all__ = ["machine"]

DELEGATE = address_from(bytes(19) + b"\x77")
FAR = Epoch(1_000_000)
NEEDED = 10 * TOKEN
"""What the next extension by the mandate takes: its fee, and nothing for the slots."""
MANDATE = Mandate(
    highest_price=0,
    highest_egress_price=0,
    fee=NEEDED,
    until=FAR,
    term_epochs=PARAMETERS.grid_epochs,
    left=10**30,
    revoked=False,
)
SHORT = "next extensions by mandate may cost 10 tokens"
NEAR = f"The delegate {DELEGATE} may spend 5 tokens more, of 100 tokens in all"
STORE = ("--yes", "--k", "2", "--n", "4", "--epochs", "5")
PLENTY = 10**6 * TOKEN
LATER = 15 * PARAMETERS.epoch_blocks

SPENT = "without what this may take out of it"
TAKING = {
    "put": ("orders", "put", "{tree}", "--name", "more", *STORE),
    "extend": ("orders", "extend", "tree", "--yes"),
    "withdraw": ("withdraw", "1"),
    "authorize": (
        *("keys", "delegate", "authorize", DELEGATE),
        *("--per-epoch", "1", "--in-all", "9", "--epochs", "5"),
    ),
}
"""After these the vault holds less, or may."""
LOOKING = {
    "get": ("orders", "get", "tree", "{back}"),
    "ls": ("orders", "ls"),
    "health": ("orders", "health"),
    "mandate list": ("mandate", "list"),
}
"""By these somebody looks how things are."""
COUNTED = {"put", "extend", "get", "ls", "health"}
"""What a delegate's limits count, and looks at what it stored."""


@dataclass
class Home:
    """One with an order, covered by a mandate, and a delegate. What the chain says of them a test may
    change."""

    machine: Machine
    folder: Path
    vault: int = PLENTY
    block: int = 0
    """It is at least so late."""
    delegation: Delegation = field(
        default_factory=lambda: Delegation(
            per_epoch=100 * TOKEN,
            in_all=100 * TOKEN,
            until_epoch=FAR,
            spent_in_epoch=0,
            spent=0,
            left_for_orders=0,
            left_for_vouchers=0,
        )
    )

    def __call__(self, arguments: tuple[str, ...]) -> Result:
        tree, back = self.folder / "tree", self.folder / "back"
        done = self.machine(*(one.format(tree=tree, back=back) for one in arguments))
        assert done.exit_code == 0, (done.output, done.exception)
        return done

    def said(self, arguments: tuple[str, ...]) -> str:
        """On standard error, without the lines' ends."""
        return " ".join(self(arguments).stderr.split())

    def prepare(self, world: World) -> None:
        """Show the chain as it is in this test."""
        market = world.market
        market.vaults[market.renter] = self.vault
        market.block = max(market.block, self.block)
        orders = market.order

        async def order(order: OrderId) -> Order | None:
            shown = await orders(order)
            return None if shown is None else replace(shown, mandate=1)

        async def mandate_numbers(since: int) -> list[int]:
            return [1]

        async def mandate(account: Address, number: int) -> Mandate:
            return MANDATE

        async def delegates(since: int, account: Address | None = None) -> list[Address]:
            return [DELEGATE]

        async def delegation(account: Address, delegate: Address) -> Delegation:
            return self.delegation

        async def authorize(delegate: Address, **limits: int) -> Receipt:
            return market._empty_receipt()

        for name, shown in {
            "order": order,
            "mandate": mandate,
            "mandate_numbers": mandate_numbers,
            "delegates": delegates,
            "delegation": delegation,
            "authorize": authorize,
        }.items():
            setattr(market, name, shown)


@pytest.fixture
def home(machine: Machine, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """It knows its mandate and its delegate: it has listed both."""
    set_up(machine.home, phrase=WORDS, network=Network(rpc="http://127.0.0.1:1", market=MARKET))
    monkeypatch.setenv("GRANGE_HOME", str(machine.home))
    made = Home(machine=machine, folder=tree.parent)
    machine.prepare = made.prepare
    for arguments in (("orders", "put", "{tree}", *STORE), ("mandate", "list"), ("keys", "delegate", "list")):
        made(arguments)
    return made


@pytest.mark.parametrize(("name", "arguments"), [*TAKING.items(), *LOOKING.items()], ids=[*TAKING, *LOOKING])
def test_a_command_tells_of_a_short_vault_and_of_limits_that_are_near_and_else_of_neither(
    home: Home, name: str, arguments: tuple[str, ...]
) -> None:
    """What takes from the vault counts what it may take: with all that mandates need in it, it falls short
    afterwards. Those who only look are told when it does now."""
    home.vault = PLENTY if name in TAKING else NEEDED
    # A second order would need as much again.
    quiet = home.said((*arguments, "--dry-run") if name == "put" else arguments)
    assert (SHORT in quiet, str(DELEGATE) in quiet.replace(f"authorize {DELEGATE}", "")) == (False, False)
    home.vault = NEEDED if name in TAKING else NEEDED - TOKEN
    home.delegation = replace(home.delegation, spent=95 * TOKEN)
    # In the last grid period of what was extended, it may be extended again.
    home.block = LATER if name == "extend" else 0
    said = home.said(arguments)
    assert (SHORT in said, SPENT in said, "grange deposit" in said) == (True, name in TAKING, True), said
    assert ("The vault holds 10 tokens, 9" if name in TAKING else "The vault holds 9 tokens, and") in said
    assert (NEAR in said) == (name in COUNTED), said


def test_a_home_that_knows_of_no_mandate_and_no_delegate_asks_and_says_nothing(
    machine: Machine, tree: Path
) -> None:
    """The chain has both, and each question would cost a request to a home that is of no use for it."""
    asked: list[str] = []
    made = Home(machine=machine, folder=tree.parent, vault=0)

    def prepare(world: World) -> None:
        made.prepare(world)
        for name in ("mandate", "mandate_numbers", "delegates", "delegation"):
            setattr(world.market, name, _noting(asked, name))

    machine.prepare = prepare
    said = made.said(("orders", "put", "{tree}", *STORE)) + made.said(("orders", "ls"))
    assert (asked, SHORT in said, str(DELEGATE) in said) == ([], False, False)


def _noting(asked: list[str], name: str) -> Callable[..., object]:
    async def question(*_: object) -> list[object]:
        asked.append(name)
        return []

    return question
