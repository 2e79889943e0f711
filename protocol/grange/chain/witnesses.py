"""What several endpoints say, compared, where a thing can't be undone (docs/adr/0145).

    verdict = await agreed_hash(chain, block)
    if verdict.is_agreed: ...      with one endpoint: it says so. With several: two say so, and no two others

Only what is pinned to a block is compared: two heads never agree. One that says otherwise than those that
agree is named, and asked last from then on. Where two differ and nobody else says anything, nothing is
agreed: the one that contradicts a block on which they agreed before is named, else both are. Who does not
answer, or does not have the block, says nothing.

Decides what counts as agreed. Leaves asking to `rpc`, and what follows to the callers.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from grange.chain.answers import block_hash_from
from grange.chain.chain_check import BLOCK_METHOD
from grange.chain.codec import market_abi
from grange.chain.connection import Connection
from grange.chain.errors import ChainError, ChainUnavailable, WitnessMissing
from grange.chain.gateway import Chain
from grange.chain.gathering import Question
from grange.chain.rpc import Rpc
from grange.chain.views import Order
from grange.seeds import is_long, seed_block
from grange.tasks import together
from grange.types import Epoch, OrderId

WITNESSES: Final = 2
"""So many endpoints must say the same."""
WITNESSED_DEPTH_BLOCKS: Final = 16
"""So far below the newest block endpoints are compared: an honest one may be behind."""
SHOWN_DIGITS: Final = 12

Said = TypeVar("Said", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Generic[Said]):
    """What is taken to be so. `said` are the different answers, those of more endpoints first."""

    is_agreed: bool
    said: tuple[Said, ...]

    @property
    def value(self) -> Said:
        """What was agreed on."""
        return self.said[0]


def judge(testimonies: Sequence[Said]) -> Verdict[Said]:
    """What counts of what several endpoints said."""
    counted = Counter(testimonies).most_common()
    is_agreed = bool(counted) and counted[0][1] >= WITNESSES
    if len(counted) > 1 and counted[1][1] >= WITNESSES:
        is_agreed = False
    return Verdict(is_agreed=is_agreed, said=tuple(value for value, _ in counted))


async def agreed_hash(chain: Chain, number: int, *, skips_failed: bool = False) -> Verdict[bytes]:
    """The hash of a block, which must be old enough for all of them to have it."""
    if chain.rpc.is_alone:
        value = await chain.block_hash(number)
        return Verdict(is_agreed=value is not None, said=() if value is None else (value,))
    verdict = await _compare_hashes(chain, number, skips_failed=skips_failed)
    rpc, before = chain.rpc, chain.rpc.agreed_block
    if verdict.is_agreed:
        rpc.agreed_block = number, verdict.value
    elif len(verdict.said) > 1 and before is not None and before[0] != number:
        is_named = False
        for connection, answers in await rpc.ask_everybody(
            [_block_question(before[0])], skips_failed=skips_failed
        ):
            if not isinstance(answers, ChainError) and answers[0] is not None:
                shown = block_hash_from(answers[0])
                if shown != before[1]:
                    rpc.accuse(
                        connection,
                        f"shows {_short(shown)} as the hash of block {before[0]}, on which the endpoints "
                        f"agreed before ({_short(before[1])}): it lies, or is on another chain",
                    )
                    is_named = True
        if is_named:
            # Its word comes last now.
            return await _compare_hashes(chain, number, skips_failed=skips_failed)
    return verdict


async def _compare_hashes(chain: Chain, number: int, *, skips_failed: bool) -> Verdict[bytes]:
    return await _compare(
        chain,
        f"the hash of block {number}",
        _block_question(number),
        lambda answer: None if answer is None else (block_hash_from(answer),),
        _short,
        skips_failed=skips_failed,
    )


def _block_question(number: int) -> Question:
    return BLOCK_METHOD, (hex(number), False)


def _short(value: bytes) -> str:
    return f"0x{value.hex()[:SHOWN_DIGITS]}…"


async def agreed_order(chain: Chain, order: OrderId, block_hash: bytes) -> Verdict[Order | None]:
    """An order as the contract has it after a block, or None where it has none of this id."""
    if chain.rpc.is_alone:
        return Verdict(is_agreed=True, said=(await chain.order(order),))
    return await _ask_for_order(chain, order, block_hash)


async def _ask_for_order(
    chain: Chain,
    order: OrderId,
    block_hash: bytes,
    *,
    is_shown: Callable[[Order | None], bool] | None = None,
) -> Verdict[Order | None]:
    data = "0x" + market_abi().encode_call("order", [order]).hex()
    return await _compare(
        chain,
        f"order {order.hex()[:12]}",
        ("eth_call", ({"to": chain.market, "data": data}, {"blockHash": "0x" + block_hash.hex()})),
        # The market may not have been there yet.
        lambda answer: None if is_shown is not None and answer == "0x" else (chain.decode_order(answer),),
        lambda value: "no order" if value is None else f"one with slots 0x{value.slots_hash.hex()[:8]}…",
        is_shown=is_shown,
        skips_failed=is_shown is not None,
    )


async def find_known_order(chain: Chain, order: OrderId) -> Order | None:
    """An order as the contract has it, of which we have evidence of our own: we keep a slot of it, or have
    read its events. None where it is not there. Raises ChainError.

    Where the endpoint in use denies it, all are asked as of one block: the newest, and if others do not have
    that, one that is deep enough. Of two that contradict each other the one counts that has what we know of,
    and the other is named: so one that denies orders holds up neither reads nor repairs. That nobody has it
    is remembered until there is a newer block. Never for an id that somebody else brings: an endpoint that
    makes orders up would then have the honest one named (`find_fitting_order`).
    """
    found = await chain.order(order)
    if found is not None or chain.rpc.is_alone:
        return found
    head = await chain.head()
    if chain.rpc.unseen_orders.get(order) == head.hash:
        return None
    if await _is_shown_at(chain, order, head.hash):
        return await chain.order(order)
    there = await agreed_hash(chain, max(0, head.number - WITNESSED_DEPTH_BLOCKS), skips_failed=True)
    if there.said and await _is_shown_at(chain, order, there.value):
        return await chain.order(order)
    chain.rpc.note_unseen(order, head.hash)
    return None


async def find_fitting_order(chain: Chain, order: OrderId, fits: Callable[[Order], bool]) -> Order | None:
    """An order as the contract has it, of which somebody else tells us: what two endpoints say of it, or else
    what one of them says, if that `fits` what we were told. Raises ChainError.

    Where the endpoint in use denies it, each is asked once, those that failed lately left out. Nobody is
    named, and nobody is asked later for it: who tells us may have made the order up, with an endpoint.
    """
    found = await chain.order(order)
    if found is not None or chain.rpc.is_alone:
        return found
    said: list[Order | None] = []
    for _, answers in await chain.rpc.ask_everybody([chain.order_question(order)], skips_failed=True):
        with suppress(ChainError):
            if not isinstance(answers, ChainError):
                said.append(chain.decode_order(answers[0]))
    verdict = judge(said)
    if verdict.is_agreed:
        return verdict.value
    fitting = [one for one in verdict.said if one is not None and fits(one)]
    if len(fitting) != 1:
        return None
    chain.rpc.report(
        f"The endpoints contradict each other: one shows order {order.hex()[:SHOWN_DIGITS]}, and another has "
        "no such order. One of them is behind or lies; a third endpoint would tell which."
    )
    return fitting[0]


async def do_two_say_yes(
    rpc: Rpc, questions: Sequence[Question], read: Callable[[list[Any]], bool], what: str
) -> bool:
    """Whether the endpoints say yes, for what must not hang on the word of one: `read` tells it from what one
    answers to all the questions, and `what` is what they would say so of. With one endpoint its word counts.

    Each is asked as of its newest block, so nobody is named. Raises ChainError when no two agree:
    WitnessMissing when all but one fail, since the one may be the one that lies.
    """
    if rpc.is_alone:
        return read(await rpc.batch(questions))
    said: list[bool] = []
    for _, answers in await rpc.ask_everybody(questions, skips_failed=True):
        with suppress(ChainError):
            if not isinstance(answers, ChainError):
                said.append(read(answers))
    verdict = judge(said)
    if len(said) == 1:
        raise WitnessMissing(rpc.url, f"no two of the endpoints say anything of {what}, and one does not do")
    if not verdict.is_agreed:
        raise ChainUnavailable(rpc.url, f"no two of the endpoints say the same of {what}")
    return verdict.value


async def _is_shown_at(chain: Chain, order: OrderId, block_hash: bytes) -> bool:
    verdict = await _ask_for_order(chain, order, block_hash, is_shown=lambda value: value is not None)
    return bool(verdict.said) and verdict.value is not None


async def audit_seeds(chain: Chain, epoch: Epoch) -> tuple[bytes, ...]:
    """What an epoch's leaves are drawn with, or what several endpoints call it, that of more of them first;
    none before its first block is mined. See `Chain.audit_seed`."""
    if chain.rpc.is_alone:
        seed = await chain.audit_seed(epoch)
        return () if seed is None else (seed,)
    epoch_blocks = chain.parameters.epoch_blocks
    first = epoch * epoch_blocks
    if not is_long(epoch_blocks):
        return (await agreed_hash(chain, first)).said
    recorded, head = await together(chain.seed(epoch), chain.head())
    number = seed_block(first, min(head.number + 1, first + epoch_blocks - 1))
    shown = () if number is None else (await agreed_hash(chain, number)).said
    # It may be the hash of an earlier block than the one that would be taken now.
    return shown if recorded is None else (recorded, *(seed for seed in shown if seed != recorded))


async def _compare(
    chain: Chain,
    what: str,
    question: Question,
    read: Callable[[Any], tuple[Said] | None],
    show: Callable[[Said], str],
    *,
    is_shown: Callable[[Said], bool] | None = None,
    skips_failed: bool = False,
) -> Verdict[Said]:
    """Ask everybody, or with `skips_failed` all that did not fail lately, and name those who say otherwise.
    `read` gives None for an answer that says nothing; `is_shown` is whether we have evidence of our own for
    it, which tells them apart where they contradict each other."""
    testimonies: list[tuple[Connection, Said]] = []
    for connection, answers in await chain.rpc.ask_everybody([question], skips_failed=skips_failed):
        if isinstance(answers, ChainError):
            continue
        try:
            read_one = read(answers[0])
        except ChainError as error:
            chain.rpc.accuse(connection, f"gives what can't be read: {error}")
            continue
        if read_one is not None:
            testimonies.append((connection, read_one[0]))
    # Of several that nobody else says, that of one who lied before comes last.
    testimonies.sort(key=lambda one: not chain.rpc.is_trusted(one[0]))
    verdict = judge([said for _, said in testimonies])

    def those_who_say(value: Said) -> str:
        return " and ".join(connection.name for connection, said in testimonies if said == value)

    if not verdict.is_agreed and is_shown is not None:
        backed = [value for value in verdict.said if is_shown(value)]
        others = [value for value in verdict.said if not is_shown(value)]
        verdict = Verdict(is_agreed=len(backed) == 1, said=(*backed, *others))
    if verdict.is_agreed:
        for connection, said in testimonies:
            if said != verdict.value:
                chain.rpc.accuse(
                    connection,
                    f"says that {what} is {show(said)}, and by {those_who_say(verdict.value)} it is "
                    f"{show(verdict.value)}: it lies, or is on another chain",
                )
    elif len(verdict.said) > 1:
        told = ", and ".join(f"{show(value)} by {those_who_say(value)}" for value in verdict.said)
        chain.rpc.report(
            f"The endpoints contradict each other: {what} is {told}. One of them lies, or is on another "
            "chain; a third endpoint would tell which."
        )
    return verdict
