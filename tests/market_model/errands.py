"""The small calls, which concern one account or farmer only.

Joining, stakes, vaults, earnings, vouchers, and proofs that are wrong.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from grange import messages
from grange.chain import Wallet, calls
from grange.types import Address, Epoch, FarmerId

from .model import MAX_RATE
from .playing import ACTORS, ADDRESSES, OFFER, PLAYED, RENTERS, STRANGER, Playing, permits
from .stage import FUNDS

actors = st.sampled_from(ADDRESSES)
amounts = st.one_of(st.integers(0, 3), st.integers(1, 40_000), st.integers(1, 10**6))
mostly = st.sampled_from([True] * 9 + [False])
huge_amounts = st.sampled_from([None] * 9 + [1 << 96, 1 << 224])

WRONG_SAMPLE = {"NotLost", "SlotLost", "NoLeaves", "WrongSlot", "NoSuchEntry", "WrongPeak", "ProofTooShort"}
"""The errors that can tell of a changed word. If it stood for a lost slot, words may seem to be missing."""


class Errands(Playing):
    """The errands of a story."""

    @rule(data=st.data(), account=actors, amount=amounts)
    def errand(self, data: st.DataObject, account: str, amount: int) -> None:
        """Some of the calls that concern one account or farmer only."""
        errands = [
            self._join,
            self._update_farmer,
            self._set_operator,
            self._set_limits,
            self._authorize,
            self._add_stake,
            self._unstake,
            self.deposit,
            self._deposit_with_permit,
            self._request_withdrawal,
            self._withdraw,
            self._claim,
            self._burn,
            self._settle,
            self._record_seed,
        ]
        for run in data.draw(st.lists(st.sampled_from(errands), min_size=2, max_size=4), label="errands"):
            run(data, account, amount)

    def _join(self, data: st.DataObject, account: str, amount: int) -> None:
        if self.room_for_farmers():
            operator, honest = data.draw(actors, label="operator"), data.draw(mostly, label="consented")
            permitted = data.draw(permits, label="permit")
            self.new_farmer(account, operator, amount, honest=honest, permitted=permitted)

    def _update_farmer(self, data: st.DataObject, account: str, amount: int) -> None:
        farmer = self.farmer(data)
        caller = self._owner_mostly(data, farmer, account)
        endpoint = "x" * (amount % 400)
        call = calls.update_farmer(FarmerId(farmer), endpoint=endpoint, offer=OFFER)
        self.attempt(caller, call, lambda market: market.update_farmer(caller, farmer, endpoint))

    def _owner_mostly(self, data: st.DataObject, farmer: int, account: str) -> str:
        if farmer <= len(self.market.farmers) and data.draw(st.integers(0, 9), label="stranger?"):
            return self.market.farmers[farmer - 1].owner
        return account

    def _set_operator(self, data: st.DataObject, account: str, amount: int) -> None:
        farmer = self.farmer(data)
        caller, operator = self._owner_mostly(data, farmer, account), data.draw(actors, label="operator")
        void, honest = data.draw(st.booleans(), label="void"), data.draw(mostly, label="consented")
        consent = self.consent(operator, caller, farmer, honest=honest)
        call = calls.set_operator(FarmerId(farmer), Address(operator), consent=consent, void_former=void)
        self.attempt(
            caller,
            call,
            lambda market: market.set_operator(caller, farmer, operator, void_former=void, consented=honest),
        )

    def _set_limits(self, data: st.DataObject, account: str, amount: int) -> None:
        """Now and then one that binds; mostly the market would stand still."""
        farmer = self.farmer(data)
        caller = self._owner_mostly(data, farmer, account)
        ceiling, lost = (
            data.draw(st.sampled_from([MAX_RATE, MAX_RATE, amount, 10**6 + amount]), label=what)
            for what in ("ceiling", "losses")
        )
        call = calls.set_limits(FarmerId(farmer), ceiling=ceiling, loss_limit=lost)
        self.attempt(caller, call, lambda market: market.set_limits(caller, farmer, ceiling, lost))

    def _authorize(self, data: st.DataObject, account: str, amount: int) -> None:
        renter = data.draw(st.sampled_from(RENTERS), label="renter").address
        self.authorize(data, renter, account, amount)

    def authorize(self, data: st.DataObject, account: str, delegate: str, amount: int) -> None:
        """Mostly limits that let something through; now and then none at all."""
        limits = st.sampled_from([0, amount, amount, 10**7])
        per_epoch, in_all = data.draw(limits, label="per epoch"), data.draw(limits, label="in all")
        until = max(0, self.next_epoch + data.draw(st.sampled_from([-9, 0, 1, 2, 3, 20, 20])))
        call = calls.authorize(
            Address(delegate), per_epoch=per_epoch, in_all=in_all, until_epoch=Epoch(until)
        )
        self.attempt(
            account, call, lambda market: market.authorize(account, delegate, per_epoch, in_all, until)
        )

    def _add_stake(self, data: st.DataObject, account: str, amount: int) -> None:
        farmer = self.farmer(data)
        amount = data.draw(huge_amounts, label="huge") or amount
        call = calls.add_stake(FarmerId(farmer), amount)
        self.attempt(account, call, lambda market: market.add_stake(account, farmer, amount))

    def _unstake(self, data: st.DataObject, account: str, amount: int) -> None:
        """Now and then all that is free, or one more."""
        farmer = self.farmer(data)
        caller = self._owner_mostly(data, farmer, account)
        free = data.draw(st.sampled_from([None, None, 0, 1]), label="of what is free")
        if free is not None and farmer <= len(self.market.farmers):
            known = self.market.farmers[farmer - 1]
            needed = self.p.collateral_epochs * self.market.rate_answered(known, self.next_epoch)
            amount = max(0, known.stake - needed + free)
        if data.draw(st.integers(0, 5), label="all") == 0:
            amount = calls.ALL_STAKE
        call = calls.unstake(FarmerId(farmer), amount)
        self.attempt(caller, call, lambda market: market.unstake(caller, farmer, amount))

    def deposit(self, data: st.DataObject | None, account: str, amount: int) -> None:
        self.attempt(account, calls.deposit(amount), lambda market: market.deposit(account, amount))

    def _deposit_with_permit(self, data: st.DataObject, account: str, amount: int) -> None:
        """A bad permit is refused where more is to be pulled than was approved."""
        honest, huge = data.draw(mostly, label="signed"), data.draw(st.booleans(), label="huge")
        if huge and not honest:
            amount += 2 * FUNDS
        call = calls.deposit_with_permit(self.permit(account, amount, honest=honest))
        if self.attempt(
            account, call, lambda market: market.deposit_with_permit(account, amount, honest=honest)
        ):
            self.approve_again(account)

    def _request_withdrawal(self, data: st.DataObject, account: str, amount: int) -> None:
        account = data.draw(st.sampled_from(RENTERS), label="renter").address
        amount = data.draw(huge_amounts, label="huge") or amount
        call = calls.request_withdrawal(amount)
        self.attempt(account, call, lambda market: market.request_withdrawal(account, amount))

    def _withdraw(self, data: st.DataObject, account: str, amount: int) -> None:
        renter = data.draw(st.sampled_from(RENTERS), label="renter").address
        call = calls.withdraw(Address(account))
        self.attempt(renter, call, lambda market: market.withdraw(renter, account))

    def _claim(self, data: st.DataObject, account: str, amount: int) -> None:
        if data.draw(st.booleans(), label="everything"):
            amount = self.market.earnings[account]
        to = data.draw(actors, label="to")
        call = calls.claim(Address(to), amount)
        self.attempt(account, call, lambda market: market.claim(account, to, amount))

    def _burn(self, data: st.DataObject, account: str, amount: int) -> None:
        self.attempt(account, calls.burn(), lambda market: market.burn())

    def _settle(self, data: st.DataObject, account: str, amount: int) -> None:
        farmer = self.farmer(data)
        call = calls.settle(FarmerId(farmer))
        self.attempt(account, call, lambda market: market.settle(farmer))

    def _record_seed(self, data: st.DataObject, account: str, amount: int) -> None:
        """Now and then in an epoch's first block, which is too early."""
        if data.draw(st.integers(0, 2), label="early?") == 0:
            self.pass_blocks(self.p.epoch_blocks - 1 - self.chain.block % self.p.epoch_blocks)
        epoch = self.next_epoch
        if self.attempt(account, calls.record_seed(), lambda market: market.record_seed()):
            first = self.chain.evm.block(epoch * self.p.epoch_blocks)
            assert first is not None
            assert self.chain.ask("seed", epoch) == first.hash

    @rule(
        data=st.data(),
        signed=st.lists(
            st.tuples(st.sampled_from(RENTERS), st.integers(0, 5_000), st.none() | st.sampled_from(ACTORS)),
            max_size=3,
        ),
    )
    def redeem(self, data: st.DataObject, signed: list[tuple[Wallet, int, Wallet | None]]) -> None:
        """Signed by the renter, or by somebody who may be its delegate."""
        farmer = self.farmer(data)
        vouchers = []
        known = []
        for renter, more, other in signed:
            signer = other or renter
            total = self.market.redeemed[farmer, renter.address, signer.address] + more
            vouchers.append(
                messages.sign_voucher(
                    self.chain.domain,
                    signer.private_key,
                    farmer=FarmerId(farmer),
                    cumulative=total,
                    renter=renter.address,
                )
            )
            known.append((renter.address, total, signer.address))
        call = calls.redeem(FarmerId(farmer), vouchers)
        self.attempt(STRANGER.address, call, lambda market: market.redeem(farmer, known))

    def _provable(self) -> list[int]:
        """Farmers whose right proof would be accepted in the next block."""
        epoch = self.next_epoch
        numbers = range(1, len(self.market.farmers) + 1)
        return [one for one in numbers if self.foretold(lambda m, f=one: m.prove(f, epoch)) is None]  # type: ignore[misc]

    @rule(data=st.data())
    def prove_wrongly(self, data: st.DataObject) -> None:
        """Of a right proof one word is changed, the end is missing, or one is too many: the refusal says so.

        Where nobody could prove now, in the next epoch; nothing where nobody could then.
        """
        if not self._provable():
            self.pass_to_next_epoch()
        provable = self._provable()
        if not provable:
            return
        farmer, epoch = data.draw(st.sampled_from(provable), label="farmer"), self.next_epoch
        words = self.proof(farmer)
        right = calls.prove(FarmerId(farmer), Epoch(epoch), words)
        assert self.chain.refusal(STRANGER.address, right) is None, "a right proof would be refused"
        at = data.draw(st.integers(0, 199), label="word") % len(words)
        # The bits that no part of a head uses are cut off before anything is checked.
        flipped = (int.from_bytes(words[at]) ^ 1 << data.draw(st.integers(0, 7))).to_bytes(32)
        ways = {
            "changed": ([*words[:at], flipped, *words[at + 1 :]], WRONG_SAMPLE),
            "cut off": (words[:at], {"ProofTooShort"}),
            "too long": ([*words, words[at]], {"ProofTooLong"}),
        }
        for how, (wrong, errors) in ways.items():
            refusal = self.chain.refusal(STRANGER.address, calls.prove(FarmerId(farmer), Epoch(epoch), wrong))
            assert refusal in errors, f"a proof that is {how} is refused with {refusal}"
            PLAYED[f"prove {refusal}"] += 1
