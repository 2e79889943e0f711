"""Signs acceptances: that this farmer will keep a slot, or go on keeping it, or take it over.

Order of things, so that a kill in between signs for nothing that is not here:

    all pieces on disk, their root compared, roots written down, ledger row `accepted`, signature

Decided here: that one is signed at a time, so that stake never backs two; how many may wait for theirs, and
ask the chain for it, at once; that a slot of an order is accepted for one renter, repairer or giver only;
and when an acceptance is repeated or lasts longer. Left to others: the terms (`terms`), what can be afforded
(`terms_check`), what is extended, by mandate or not, or taken over (`extension`, `mandate`, `takeover`,
`hand_over`, `giver_limits`), and the bytes (`uploads`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Final

from grange.chain import ChainError, ChainTimeout, Mandate, Order, Wallet
from grange.chain.witnesses import find_fitting_order, find_known_order
from grange.executors import Executors
from grange.messages import (
    NO_GIVER,
    NOBODY,
    AcceptanceMessage,
    order_id,
    sign_acceptance,
    sign_takeover,
    slots_hash,
    tenure_word,
)
from grange.types import EXTENDED, NO_FARMER, Acceptance, Address, FarmerId, Held, OrderId, Takeover
from grange_node.acceptance.extension import check_same, start_of
from grange_node.acceptance.giver_limits import GiverLimits
from grange_node.acceptance.hand_over import check_giver, check_hand_over
from grange_node.acceptance.mandate import check_prices, end_of
from grange_node.acceptance.takeover import TAKEOVER_LIFE_BLOCKS, terms_of
from grange_node.acceptance.terms import (
    ACCEPTANCE_LIFE_BLOCKS,
    HIGHEST_HAND_OVER_FACTOR,
    MIN_LEFT_BLOCKS,
    check_egress_price,
    check_pieces,
    check_shape,
)
from grange_node.acceptance.terms_check import TermsCheck
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.config import Config
from grange_node.errors import (
    AlreadyAccepted,
    ChainDown,
    Conflict,
    Foreign,
    NotFound,
    TermsRefused,
    TooBusy,
)
from grange_node.ledger.ledger import Ledger
from grange_node.limits.fair_shares import Allowance, FairShares
from grange_node.limits.networks import Network
from grange_node.limits.turns import Turns
from grange_node.lists.farmer_lists import FarmerLists
from grange_node.lists.renter_lists import RenterLists
from grange_node.pieces.slot_locks import SlotLocks
from grange_node.pieces.store import Store
from grange_node.records import SlotRecord, SlotState, SlotTerms
from grange_node.slot_key import SlotKey
from grange_node.uploads.price import asked_rate
from grange_node.uploads.uploads import Uploads

MAX_WAITING: Final = 200
MAX_WAITING_PER_RENTER: Final = 16
"""Requests for an acceptance. Each asks the chain several times before it can be refused: so many of them,
one after the other, take seconds, and more would make us a burden to its endpoint. Each network has a
share."""
REQUESTS_IN_A_ROW: Final = 400
REQUESTS_PER_SECOND: Final = 8.0
"""Of all; likewise shared. A slot of one leaf costs next to nothing, and anyone who has one here could make
us ask the chain without end."""
MAX_ORDERS_ASKED_AT_ONCE: Final = 4
"""Of those that we keep a slot of, and as many of others."""
COMPARISONS_IN_A_ROW: Final = 40
COMPARISONS_PER_SECOND: Final = 1.0
"""So often all endpoints are asked about an order that only who asks us tells of."""
FEW_PIECES: Final = 64
NOT_SEEN_PLACED: Final = (
    "this slot is here, and the chain does not show this farm yet that it was placed with it; try again in a "
    "moment"
)

Judge = Callable[[SlotRecord, SlotTerms, View], Awaitable[None]]
"""Raises what is against accepting a slot on these terms."""

log = logging.getLogger("grange.farm")


class AcceptanceService:
    """Accepts a slot, on the request of a renter, a repairer, or the farmer that has it."""

    def __init__(
        self,
        *,
        config: Config,
        wallet: Wallet,
        store: Store,
        ledger: Ledger,
        market: FarmMarket,
        follower: ChainFollower,
        uploads: Uploads,
        locks: SlotLocks,
        is_to_go: Callable[[OrderId, int], bool],
        renters: RenterLists,
        farmers: FarmerLists,
        clock: Callable[[], float],
        executors: Executors,
    ) -> None:
        """`is_to_go` says, in a database thread, whether a slot is to be handed over; `clock` gives
        seconds."""
        self._config = config
        self._wallet = wallet
        self._store = store
        self._ledger = ledger
        self._executors = executors
        self._market = market
        self._follower = follower
        self._uploads = uploads
        self._locks = locks
        self._is_to_go = is_to_go
        self._renters = renters
        self._farmers = farmers
        self._terms_check = TermsCheck(
            config=config,
            operator=wallet.address,
            ledger=ledger,
            market=market,
            follower=follower,
            executors=executors,
        )
        self._giver_limits = GiverLimits()
        self._signing = Turns(1, ChainDown)
        self._asking = Turns(MAX_ORDERS_ASKED_AT_ONCE, ChainTimeout)
        self._asking_of_ours = Turns(MAX_ORDERS_ASKED_AT_ONCE, ChainTimeout)
        self._comparing = Turns(MAX_ORDERS_ASKED_AT_ONCE, ChainTimeout)
        self._comparisons = Allowance(COMPARISONS_IN_A_ROW, COMPARISONS_PER_SECOND, clock)
        self._waiting: Counter[Address] = Counter()
        self._line = FairShares(MAX_WAITING)
        self._requests = Allowance(REQUESTS_IN_A_ROW, REQUESTS_PER_SECOND, clock)

    async def accept(
        self, key: SlotKey, salt: bytes, terms: SlotTerms, network: Network, *, sender: Address | None = None
    ) -> Acceptance:
        """Accept a slot, if all of it is here and the terms are ours. `sender` is who will place the order:
        the renter, or its delegate.

        The same terms again give the same acceptance until it is about to expire, and then one with a later
        deadline; other terms for a slot that was accepted raise Conflict. Raises Malformed, Foreign,
        NotFound, Mismatch, RenterNotServed, TermsRefused, StakeTooSmall, VaultTooSmall, ChainDown, TooBusy.
        """
        _check_renter(key, salt, sender)
        await self._renters.require(key.renter)
        await self._require_begun(key)
        with self._in_line(key.renter, network):
            return await self._accept(key, terms)

    async def _accept(self, key: SlotKey, terms: SlotTerms, *, extender: Address = NOBODY) -> Acceptance:
        check_shape(terms)
        async with self._signing.turn():
            with self._locks.using(key):
                terms = await self._with_egress_price(key, terms)
                deadline_block = await self._commit(key, terms, self._terms_check.check, is_takeover=False)
        message = self._message(key, terms, deadline_block, previous=terms.previous, repairer=extender)
        return sign_acceptance(self._config.domain, self._wallet.private_key, message)

    async def _with_egress_price(self, key: SlotKey, terms: SlotTerms) -> SlotTerms:
        """With the price for reading that we bind ourselves to: that of our offer, or what we have signed."""
        known = await self._executors.in_database(self._ledger.slot, key)
        if known is None or known.state is SlotState.STAGED:
            price = self._config.offer.egress_price_per_gib
        else:
            price = known.agreed.max_egress_price_per_gib
        return replace(terms, max_egress_price_per_gib=price)

    async def extend(
        self,
        key: SlotKey,
        salt: bytes,
        terms: SlotTerms,
        previous: OrderId,
        network: Network,
        *,
        sender: Address | None = None,
    ) -> Acceptance:
        """Accept a slot for longer, from the end of the order `previous` to that of another.

        What we keep of `previous` need not be sent again; where the file system has no second names it is
        copied, and needs the room (StorageFull, TooBusy). Who keeps none of it is sent the pieces like those
        of a new slot. Repeated and refused like `accept`; raises NotFound and TermsRefused besides, when
        `previous` cannot be extended, and Mismatch when we keep something else of it.
        """
        _check_renter(key, salt, sender)
        await self._renters.require(key.renter)
        if await self._executors.in_database(self._ledger.acceptance, previous, key.slot) is None:
            await self._require_begun(key)
        with self._in_line(key.renter, network):
            return await self._extend(key, terms, previous, network)

    async def _extend(
        self, key: SlotKey, terms: SlotTerms, previous: OrderId, network: Network
    ) -> Acceptance:
        view = await self._follower.recent()
        kept = await self._executors.in_database(self._ledger.acceptance, previous, key.slot)
        epoch, grid = view.head.epoch, self._config.parameters.grid_epochs
        try:
            if kept is not None and kept.is_running(epoch):
                async with self._asking_of_ours.turn():
                    order = await find_known_order(self._market, previous)
            else:
                order = await self._find_told_order(
                    previous, network, lambda shown: shown.renter == key.renter and shown.end > epoch
                )
        except ChainError as error:
            raise ChainDown.because(error) from error
        start = start_of(order, key.renter, key.slot, epoch=epoch, grid_epochs=grid)
        terms = replace(terms, previous=previous, start=start)
        if kept is not None and kept.state is SlotState.ACCEPTED:
            kept = await self._read_placement(previous, key.slot)
        if kept is None or kept.state is not SlotState.PLACED:
            if kept is not None and await self._executors.in_database(self._ledger.slot, key) is None:
                raise ChainDown(NOT_SEEN_PLACED)
            return await self._accept(key, terms)
        check_same(kept, terms)
        await self._require_to_stay(kept)
        async with self._keeping_on(kept, key, network):
            return await self._accept(key, terms)

    async def _find_told_order(
        self, order: OrderId, network: Network, fits: Callable[[Order], bool]
    ) -> Order | None:
        """An order that somebody names, who may have made it up: one question, and others only out of an
        allowance of their own and in turns of their own. Raises ChainError."""
        async with self._asking.turn():
            found = await self._market.order(order)
        if found is not None or self._market.rpc.is_alone or not self._comparisons.may_use(network):
            return found
        async with self._comparing.turn():
            return await find_fitting_order(self._market, order, fits)

    async def _read_placement(self, order: OrderId, slot: int) -> SlotRecord | None:
        """A slot that was accepted here, with what the chain says at this moment: the block in which it was
        placed may be newer than our last look, the longer the slower the endpoints are. Raises ChainDown."""
        await self._follower.newest()
        return await self._executors.in_database(self._ledger.acceptance, order, slot)

    async def _require_to_stay(self, kept: SlotRecord) -> None:
        """A farm that hands a slot over does not go on with it: else it would never be rid of it where a term
        is no longer than a grid period. The one that takes it goes on."""
        if await self._executors.in_database(self._is_to_go, kept.key.order, kept.key.slot):
            raise TermsRefused("this slot is being handed over to another farmer")

    @asynccontextmanager
    async def _keeping_on(self, kept: SlotRecord, key: SlotKey, network: Network) -> AsyncIterator[None]:
        """What is kept has the name of the new slot, too; unless that is not accepted."""
        known = await self._executors.in_database(self._ledger.slot, key)
        try:
            if known is None or known.state is SlotState.STAGED:
                await self._uploads.keep_on(
                    kept.key, key, kept.agreed.slot_bytes, kept.agreed.pieces, network=network
                )
            yield
        finally:
            record = await self._executors.in_database(self._ledger.slot, key)
            if record is not None and record.state is SlotState.STAGED and not self._locks.count(key):
                await self._uploads.remove(key)

    async def extend_by_mandate(
        self, order_id: OrderId, slot: int, previous: OrderId, *, extender: Address, network: Network
    ) -> tuple[SlotTerms, Acceptance]:
        """Accept a slot that we keep for longer, by a mandate of its renter; `extender` has the fee.

        Everybody who asks gets the same terms, at our price: only one of them can use it, so it binds stake
        once. But nobody whom the owner's lists leave out: an extender may leave farmers out as well, and so
        make room for others. Raises NotFound for a slot that we do not keep or an order that cannot be
        extended so, and what `extend` raises.
        """
        kept = await self._executors.in_database(self._ledger.acceptance, previous, slot)
        if kept is None:
            raise NotFound("nothing of this slot is here")
        if await self._farmers.refusal(extender):
            raise TermsRefused("this farm signs extensions only for those that its owner chose")
        with self._in_line(extender, network):
            if kept.state is SlotState.ACCEPTED:
                kept = await self._read_placement(previous, slot)
            if kept is None or kept.state is not SlotState.PLACED:
                raise ChainDown(NOT_SEEN_PLACED)
            await self._require_to_stay(kept)
            view = await self._follower.recent()
            order, mandate = await self._mandate(kept, view)
            await self._renters.require(order.renter)
            renter, grid = order.renter, self._config.parameters.grid_epochs
            start = start_of(order, renter, slot, epoch=view.head.epoch, grid_epochs=grid)
            end = end_of(mandate, order, previous, order_id)
            assert mandate is not None
            key = SlotKey(renter=renter, order=order_id, slot=slot)
            known = await self._executors.in_database(self._ledger.slot, key)
            agreed = kept.agreed
            offer = self._config.offer
            rate, egress_price = asked_rate(offer, agreed.slot_bytes), offer.egress_price_per_gib
            if known is not None and known.state is not SlotState.STAGED:
                rate, egress_price = known.agreed.rate, known.agreed.max_egress_price_per_gib
            check_prices(mandate, rate=rate, egress_price=egress_price, slot_bytes=agreed.slot_bytes)
            terms = replace(agreed, rate=rate, end=end, previous=previous, start=start)
            async with self._keeping_on(kept, key, network):
                return terms, await self._accept(key, terms, extender=extender)

    async def _mandate(self, kept: SlotRecord, view: View) -> tuple[Order, Mandate | None]:
        """The order of a slot that we keep, and the mandate that covers it. Raises NotFound, TermsRefused,
        ChainDown."""
        try:
            async with self._asking_of_ours.turn():
                if kept.is_running(view.head.epoch):
                    order = await find_known_order(self._market, kept.key.order)
                else:
                    order = await self._market.order(kept.key.order)
                if order is None:
                    raise NotFound("there is no such order on chain, or it is closed")
                if order.mandate == EXTENDED:
                    raise TermsRefused("the order is extended already")
                mandate = await self._market.mandate(order.renter, order.mandate) if order.mandate else None
        except ChainError as error:
            raise ChainDown.because(error) from error
        return order, mandate

    async def take_over(self, key: SlotKey, held: Held, network: Network) -> tuple[SlotTerms, Takeover]:
        """Take over a vacant slot of a placed order, with the bounty for the one that sent its pieces.

        `held` is the order as the chain keeps its hash: the terms are in there, and on chain. Repeated like
        `accept`. Raises NotFound, Mismatch and Conflict for what does not agree with the chain or is not
        vacant, and what `accept` raises, but for the renter's money: the slot is paid for.
        """

        async def require_vacant(_: Order, view: View) -> None:
            slot = held.slots[key.slot]
            if not await self._market.is_vacant(key.order, key.slot, slot):
                raise Conflict("this slot is not vacant", farmer=slot.farmer, block=view.head.number)

        async def judge(record: SlotRecord, terms: SlotTerms, view: View) -> None:
            check_egress_price(terms, self._config.offer)
            await self._terms_check.check_own(record, terms, view, highest_factor=None)

        return await self._take_over(key, held, network, require_vacant, judge, repairer=key.renter)

    async def receive_hand_over(
        self, key: SlotKey, held: Held, network: Network
    ) -> tuple[SlotTerms, Takeover]:
        """Take over a slot from the farmer that has it, which brought its pieces and hands it over.

        Repeated and refused like `take_over`, and besides: Foreign when it is not that farmer who asks,
        Conflict when the order or one of the farmers is not one of which slots are handed over, or this slot
        was signed for long enough, TooBusy when too much is signed for that farmer and not handed over.
        """
        keys: set[Address] = set()

        async def require_giver(order: Order, view: View) -> None:
            slot = held.slots[key.slot]
            if slot.farmer == NO_FARMER:
                raise Conflict("this slot began vacant: it is for repairers")
            giver, loss = await self._market.holder(key.order, key.slot, slot)
            check_giver(giver, key.renter, is_lost=loss is not None)
            keys.update((giver.operator, giver.owner))
            grid = self._config.parameters.grid_epochs
            check_hand_over(order, view.farmer, epoch=view.head.epoch, grid_epochs=grid)

        async def judge(record: SlotRecord, terms: SlotTerms, view: View) -> None:
            check_egress_price(terms, self._config.offer)
            await self._terms_check.check_own(record, terms, view, highest_factor=HIGHEST_HAND_OVER_FACTOR)
            others = await self._executors.in_database(self._open_acceptances, keys, key)
            epochs = self._config.parameters.collateral_epochs
            stake = view.farmer.stake
            self._giver_limits.check_stake(terms, others, stake=stake, collateral_epochs=epochs)
            self._giver_limits.check_life(record, view.head.number)

        giver = held.slots[key.slot].farmer if key.slot < len(held.slots) else NO_GIVER
        return await self._take_over(key, held, network, require_giver, judge, giver=giver)

    def _open_acceptances(self, keys: Iterable[Address], but: SlotKey) -> list[SlotRecord]:
        """What we accepted for these, and do not keep yet."""
        block = self._ledger.cursor().block
        known = [one for key in keys for one in self._ledger.open_acceptances(key, block)]
        return [one for one in known if one.key != but]

    async def _take_over(
        self,
        key: SlotKey,
        held: Held,
        network: Network,
        require: Callable[[Order, View], Awaitable[None]],
        judge: Judge,
        *,
        repairer: Address = NOBODY,
        giver: FarmerId = NO_GIVER,
    ) -> tuple[SlotTerms, Takeover]:
        """`require` says whether the slot of the order may be taken from the farmer that has it, `judge`
        whether we want it."""
        await self._require_begun(key)
        with self._in_line(key.renter, network):
            terms, deadline_block = await self._commit_takeover(key, held, network, require, judge)
        replaced = tenure_word(held.slots[key.slot].start)
        message = self._message(key, terms, deadline_block, previous=replaced, repairer=repairer, giver=giver)
        return terms, sign_takeover(self._config.domain, self._wallet.private_key, message)

    async def _commit_takeover(
        self,
        key: SlotKey,
        held: Held,
        network: Network,
        require: Callable[[Order, View], Awaitable[None]],
        judge: Judge,
    ) -> tuple[SlotTerms, int]:
        view = await self._follower.recent()
        try:
            shown = slots_hash(held.leaf_count, held.piece_leaves, held.slots)
            order = await self._find_told_order(key.order, network, lambda one: one.slots_hash == shown)
            async with self._asking.turn():
                terms = terms_of(order, held, key.slot, self._config.farmer)
                check_shape(terms)
                assert order is not None, "terms follow from an order"
                await self._renters.require(order.renter)
                await require(order, view)
        except ChainError as error:
            raise ChainDown.because(error) from error

        async with self._signing.turn():
            with self._locks.using(key):
                return terms, await self._commit(key, terms, judge, is_takeover=True)

    def _message(
        self,
        key: SlotKey,
        terms: SlotTerms,
        deadline_block: int,
        *,
        previous: bytes,
        repairer: Address = NOBODY,
        giver: FarmerId = NO_GIVER,
    ) -> AcceptanceMessage:
        return AcceptanceMessage(
            order=key.order,
            farmer=self._config.farmer,
            slot=key.slot,
            root=terms.root,
            leaf_count=terms.leaf_count,
            rate=terms.rate,
            max_egress_price_per_gib=terms.max_egress_price_per_gib,
            end=terms.end,
            deadline_block=deadline_block,
            previous=previous,
            repairer=repairer,
            giver=giver,
        )

    async def _require_begun(self, key: SlotKey) -> None:
        """Before anything waits or the chain is asked: strangers that brought nothing must neither keep
        others from their turn nor make us a burden to the chain. Raises NotFound."""
        if await self._executors.in_database(self._ledger.slot, key) is None:
            raise NotFound("nothing of this slot is here")

    @contextmanager
    def _in_line(self, renter: Address, network: Network) -> Iterator[None]:
        """A request for an acceptance. Raises TooBusy."""
        refusal = TooBusy("too many ask for acceptances at once; try again in a moment")
        if self._waiting[renter] >= MAX_WAITING_PER_RENTER or not self._requests.may_use(network):
            raise refusal
        self._waiting[renter] += 1
        try:
            with self._line.held(network, 1, refusal):
                yield
        finally:
            self._waiting[renter] -= 1
            if not self._waiting[renter]:
                del self._waiting[renter]

    async def _commit(
        self,
        key: SlotKey,
        terms: SlotTerms,
        judge: Judge,
        *,
        is_takeover: bool,
    ) -> int:
        """Make sure of the pieces and of the terms, and write the acceptance down; gives its deadline."""
        view = await self._follower.recent()
        record, other, is_lost = await self._executors.in_database(self._look, key)
        if record is None:
            raise NotFound("nothing of this slot is here")
        if record.state is not SlotState.STAGED and record.agreed != terms:
            raise Conflict(
                "this slot was accepted on other terms",
                deadline_block=record.deadline_block,
                rate=record.agreed.rate,
                end=record.agreed.end,
                root=record.agreed.root.hex(),
            )
        if other is not None and other.key != key:
            await self._check_pieces(key, terms)
            self._locks.contest(other.key)
            raise AlreadyAccepted("this slot is accepted for another", deadline_block=other.deadline_block)
        lasts_to = view.head.number + MIN_LEFT_BLOCKS
        if record.state is SlotState.PLACED and is_lost:
            raise Conflict("this slot was given up here")
        if record.state is SlotState.PLACED or (record.deadline_block or 0) > lasts_to:
            assert record.deadline_block is not None
            return record.deadline_block
        if self._locks.is_contested(key) and is_takeover:
            # Anyone who neither uses its acceptance nor lets go of it would keep the slot from repair for
            # ever.
            raise AlreadyAccepted(
                "another wants this slot too, and is next", deadline_block=record.deadline_block
            )
        await self._check_pieces(key, terms)
        await judge(record, terms, view)
        life_blocks = TAKEOVER_LIFE_BLOCKS if is_takeover else ACCEPTANCE_LIFE_BLOCKS
        deadline_block = view.head.number + life_blocks
        end_block = terms.end * self._config.parameters.epoch_blocks
        try:
            deadline_at = await self._follower.date_of(deadline_block, view, attested=True)
            ends_at = await self._follower.date_of(end_block, view, attested=True)
        except ChainError as error:
            raise ChainDown.because(error) from error
        await self._executors.on_disk(
            self._record,
            key,
            terms,
            deadline_block,
            deadline_at,
            ends_at,
            # Anyone who takes a slot over shows no salt.
            renter_proven=not is_takeover,
        )
        self._locks.settle(key)
        log.info(
            "%s accepted: %d bytes at %s an epoch until %d, to be placed by block %d",
            key,
            terms.slot_bytes,
            self._config.unit.exact(terms.rate),
            terms.end,
            deadline_block,
        )
        return deadline_block

    def _look(self, key: SlotKey) -> tuple[SlotRecord | None, SlotRecord | None, bool]:
        """The slot as this renter's, the slot as it was accepted, no matter who the renter is, and whether we
        declared it lost."""
        record, other = self._ledger.slot(key), self._ledger.acceptance(key.order, key.slot)
        is_lost = other is not None and self._ledger.lost_epoch(key.order, key.slot) is not None
        return record, other, is_lost

    async def _check_pieces(self, key: SlotKey, terms: SlotTerms) -> None:
        # Nothing is read from disk: of a few pieces it takes less time than going to another thread.
        held = self._store.pieces(key)
        if len(held) <= FEW_PIECES:
            check_pieces(held, terms)
        else:
            await self._executors.on_cpu(check_pieces, held, terms)

    def _record(
        self,
        key: SlotKey,
        terms: SlotTerms,
        deadline_block: int,
        deadline_at: float,
        ends_at: float,
        *,
        renter_proven: bool,
    ) -> None:
        self._store.seal(key, terms.pieces)
        self._ledger.accept(
            key,
            terms,
            deadline_block,
            deadline_at=deadline_at,
            ends_at=ends_at,
            renter_proven=renter_proven,
        )


def _check_renter(key: SlotKey, salt: bytes, sender: Address | None) -> None:
    if order_id(key.renter, salt, sender=sender) != key.order:
        raise Foreign("the order is not this renter's: its id is not the hash of renter, sender and salt")
