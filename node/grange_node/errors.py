"""What can go wrong in a farmer node.

    GrangeError
      Misuse                  the operator (or our own code) asked for something that cannot be
        NodeMisuse
          NotInitialised      no farm in this home yet
          ConfigInvalid       farm.json or a value in it cannot be used
          DataInUse           another process serves this data folder
          LedgerInvalid       the ledger is of another farm, or newer than this program
            LedgerDamaged     its content cannot be read; ends a running farm
          NotFunded           the operator has too few tokens or too little gas money
          NotOwner            the earnings are those of an owner whose key is not here
          FarmerForeign       the farmer on chain is somebody else's
          Lapsed              the farmer missed too many proofs, and can do nothing more
          AcceptancesOpen     what was accepted with a key would be worth nothing without it
      PeerError               the one that sent the request broke the rules
        Refusal               carries a code with its HTTP status, and what was wrong
          Malformed 400       Unauthorised 401   VaultTooSmall 402   PaymentNeeded 402
          Foreign 403         NotAReader 403     ClosedUntilEpoch 403
          RenterNotServed 403
          NotFound 404        Conflict 409       LengthMissing 411   TooMuch 413
          RangeInvalid 416    Mismatch 422       TooBusy 429
      WorldError              the world failed
        NodeWorldError
          StorageFull 507          the disk, or the capacity on offer, is used up
          ChainDown 503       the chain cannot be asked at the moment
          ProofHeldBack       gas costs more than the farm's cap
          HistoryDoubtful 503 what the endpoint shows contradicts what it showed before
          StoreFailed 500     the disk reported an error
          VolumeMissing       the data folder is not the farm's; ends a running farm
          PieceMissing 500    a piece that should be here is not
          PieceDamaged 500    a piece on disk is not what it was
          DataMissing 500     an epoch cannot be proven with what is on disk
          RepairStopped       a repair cannot go on at the moment
            ReadsClosed       the others show what it needs only in a later epoch
          HandOverStopped     a slot cannot be handed over at the moment

Each has the category by which a command ends; `grange.cli` says with which code. What is raised while a
request is served is turned into a response in one place, `grange_node.api.app`. What
is an `EndsNode` besides ends the loops and the process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from grange.errors import Category, GrangeError, Misuse, PeerError, UserError, WorldError
from grange.types import Epoch
from grange.units import format_count
from grange.wire.codes import ErrorCode
from grange_node.slot_key import SlotKey


class NodeMisuse(UserError, Misuse):
    """The operator asked for something that cannot be."""

    category = Category.SETUP


class NotInitialised(NodeMisuse):
    """There is no farm in this home yet."""


class ConfigInvalid(NodeMisuse):
    """A setting cannot be used."""


class DataInUse(NodeMisuse):
    """Another process serves this data folder."""

    category = Category.IN_USE


class LedgerInvalid(NodeMisuse):
    """The ledger belongs to another farm or to a newer program."""


class EndsNode(GrangeError):
    """Mixed into what a running farm cannot go on after: its loops end, and the process with the exit code
    of the error."""


class LedgerDamaged(LedgerInvalid, EndsNode):
    """The ledger's content cannot be read."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"The ledger {path} is damaged.",
            detail="The pieces are kept. Only acceptances that nobody has placed yet are forgotten.",
            hint="Move it away, and the files whose names begin with its name, and start the farm again: it "
            "learns from the chain what is placed here.",
        )


class NotFunded(NodeMisuse):
    """The operator has too few tokens or too little gas money."""

    category = Category.MONEY


class NotOwner(NodeMisuse):
    """The earnings are those of an owner whose key is not here."""


class FarmerForeign(NodeMisuse):
    """The farmer on chain is somebody else's: it has another owner or another operator than we have."""


class Lapsed(NodeMisuse):
    """The farmer missed too many proofs, and can do nothing more on this market. `since` is the epoch from
    which on that counts, in words."""

    category = Category.LAPSED

    def __init__(self, farmer: int, since: str) -> None:
        super().__init__(
            f"Farmer {farmer} lapsed, because it missed too many proofs.",
            detail=f"Since {since}, its slots are vacant: it is not paid for them, it gets no new ones, and "
            "its stake stands for the loss. It cannot be revived, so send it no more tokens.",
            hint="What it earned is still yours: grange farm withdraw. To farm again, set up a new farm with "
            "another --home and another --data folder: grange farm init --home NEW --data NEW, and the other "
            "options as before.",
        )
        self.farmer = farmer


class AcceptancesOpen(NodeMisuse):
    """What was accepted with a key would be worth nothing without it."""


class Refusal(PeerError):
    """A request that is answered with an error: its `code`, a sentence, and values that say more."""

    code: ClassVar[ErrorCode] = ErrorCode.MALFORMED

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message)
        self.message = message
        self.values: Mapping[str, Any] = values


class Malformed(Refusal):
    """The request cannot be read."""


class Unauthorised(Refusal):
    """The request is unsigned, expired, replayed, or signed for something else."""

    code = ErrorCode.UNAUTHORISED


class VaultTooSmall(Refusal):
    """The renter cannot pay for the slot."""

    code = ErrorCode.VAULT_TOO_SMALL


class PaymentNeeded(Refusal):
    """The vouchers so far do not cover what is asked for."""

    code = ErrorCode.PAYMENT_NEEDED


class Foreign(Refusal):
    """The signer has no right to this slot."""

    code = ErrorCode.FOREIGN


class NotAReader(Refusal):
    """The slot is placed, and the signer may read nothing of it now."""

    code = ErrorCode.NOT_A_READER


class RenterNotServed(Refusal):
    """The farm's owner takes nothing of this renter's."""

    code = ErrorCode.RENTER_NOT_SERVED


class ClosedUntilEpoch(Refusal):
    """The signer may read this, but in another epoch: `detail.epoch` says in which."""

    code = ErrorCode.CLOSED_UNTIL_EPOCH


class NotFound(Refusal):
    """There is no such thing here."""

    code = ErrorCode.NOT_FOUND


class Conflict(Refusal):
    """The request contradicts what is already agreed or held."""

    code = ErrorCode.CONFLICT


class TermsRefused(Conflict):
    """The terms are not ours: too cheap, too long, beyond the stake."""

    code = ErrorCode.TERMS_REFUSED


class StakeTooSmall(Conflict):
    """The farmer's stake, or the limit that its owner set, does not allow it to accept more."""

    code = ErrorCode.STAKE_TOO_SMALL


class AlreadyAccepted(Conflict):
    """The slot is accepted for another repairer, until a deadline."""

    code = ErrorCode.ALREADY_ACCEPTED


class LengthMissing(Refusal):
    """A body without an announced length."""

    code = ErrorCode.LENGTH_MISSING


class TooMuch(Refusal):
    """More bytes than announced, or than anyone may send."""

    code = ErrorCode.TOO_MUCH


class RangeInvalid(Refusal):
    """The range asked for is not in the slot."""

    code = ErrorCode.RANGE_INVALID


class Mismatch(Refusal):
    """The bytes that came do not hash to the root that was announced."""

    code = ErrorCode.ROOT_MISMATCH


class TooBusy(Refusal):
    """A limit per renter, or on what is remembered, is reached."""

    code = ErrorCode.LIMIT_REACHED


class NodeWorldError(UserError, WorldError):
    """The world failed while the node was at work. Also answered to a request, with a code and `values` that
    say more; `detail` and `hint` are for the operator alone."""

    category = Category.FILES
    code: ClassVar[ErrorCode] = ErrorCode.WORLD_FAILED

    def __init__(self, message: str, *, detail: str = "", hint: str = "", **values: Any) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.values: Mapping[str, Any] = values


class StorageFull(NodeWorldError):
    """The disk, or the capacity on offer, is used up."""

    code = ErrorCode.NO_ROOM


class ChainDown(NodeWorldError):
    """The chain cannot be asked at the moment."""

    category = Category.CHAIN
    code = ErrorCode.CHAIN_UNAVAILABLE

    @classmethod
    def because(cls, error: Exception | str) -> ChainDown:
        """For an error of the chain's, which names our endpoint: the operator hears it, nobody else."""
        return cls("the chain cannot be asked at the moment", detail=f"({error})")


class ProofHeldBack(NodeWorldError):
    """Gas costs more than the cap, so an epoch is not proven yet."""

    category = Category.MONEY

    def __init__(self, epoch: int, *, left_blocks: int, reason: str) -> None:
        super().__init__(
            f"epoch {epoch} is not proven: {reason}.",
            detail=f"{format_count(left_blocks, 'block')} are left, then it counts as missed.",
            hint="To allow more: grange farm fees --max-fee-gwei, then start the farm again.",
        )
        self.epoch = epoch


class HistoryDoubtful(NodeWorldError):
    """The endpoint shows a history without slots of ours that it showed before, and its own figures, or all
    the blocks that we know, contradict it."""

    category = Category.CHAIN
    code = ErrorCode.CHAIN_DOUBTFUL


class StoreFailed(NodeWorldError):
    """The disk reported an error."""

    code = ErrorCode.STORE_FAILED


class VolumeMissing(NodeWorldError, EndsNode):
    """The data folder is not the one on which the farm keeps its data."""

    code = ErrorCode.STORE_FAILED

    def __init__(self, folder: Path, why: str, *, is_marked: bool = False) -> None:
        message = f"The data folder {folder} does not hold this farm's data: {why}."
        if is_marked:
            hint = "Start the farm again: it learns from the chain what is placed with it."
            super().__init__(message, hint=hint)
        else:
            super().__init__(
                message,
                detail="Most likely its disk is not mounted.",
                hint="Mount it, and start the farm again. Only if the data are gone for good: grange farm "
                "run --begin-again. What the farm kept is then rebuilt from other farmers, at their prices "
                "for reading, or given up with its collateral.",
            )


class PieceMissing(NodeWorldError):
    """A piece that should be here is not."""

    code = ErrorCode.PIECE_MISSING


class PieceDamaged(NodeWorldError):
    """A piece on disk is not what it was."""

    code = ErrorCode.PIECE_DAMAGED


class DataMissing(NodeWorldError):
    """An epoch cannot be proven with what is on disk: `pieces` are asked for, and gone or wrong."""

    def __init__(self, message: str, *, pieces: Sequence[tuple[SlotKey, int]] = ()) -> None:
        super().__init__(message)
        self.pieces = tuple(pieces)


class RepairStopped(NodeWorldError):
    """A repair cannot go on at the moment: too few answer, or nobody takes the slots."""

    category = Category.FARMERS


class HandOverStopped(NodeWorldError):
    """A slot cannot be handed over at the moment: nobody takes it, or the market does not let it pass."""

    category = Category.FARMERS


class NotTaken(HandOverStopped):
    """A farmer that was to take a slot does not have it from the market."""


class ReadsClosed(RepairStopped):
    """What is needed can be read from the others only in a later epoch: `open_epoch`."""

    def __init__(self, message: str, *, open_epoch: Epoch) -> None:
        super().__init__(message)
        self.open_epoch = open_epoch
