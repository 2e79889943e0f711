"""What can go wrong for a renter.

    GrangeError
    |- Misuse                  we misused it, or what we were given does not fit
    |  |- NotSetUp             there is no recovery phrase or no configuration here
    |  |- NotInstalled         a command needs packages that are not installed
    |  |- AlreadySetUp         there are, and they are not overwritten
    |  |- BadPhrase            not a recovery phrase (BIP-39)
    |  |- BadCard              not a recovery card, or not this home's
    |  |- BadConfig            a configuration file that cannot be read
    |  |- ClockWrong           this computer's clock is off
    |  |- NothingToStore       the paths name nothing that can be stored
    |  |- BadName              an order cannot be called that
    |  |- BadPath              a path is not written as `stat --files` writes it
    |  |- BadPattern           a pattern of names to leave out that means nothing
    |  |- BadTime              a time that is written in no way that is read, or is in no calendar
    |  |- SourceChanged        a file changed while it was being stored
    |  |- WouldOverwrite       a file is in the way of what is being fetched
    |  |- UnknownOrder         no order has that name
    |  |- UnknownDrive         no drive is called that, or its keys were not given to this device
    |  |- UnknownCommit        a drive has no commit of that name, or of that time
    |  |- OrderOver            the order is over, and its farmers have deleted it
    |  |- OrderGoesOn          an order that is not over cannot be closed
    |  |- CannotExtend         an order that is over, or will not be for long, cannot be extended
    |  |- NothingToTakeOut     nothing was announced, or its epoch has not come
    |  |- NotAccount           a delegate's home was asked for what only its account can do
    |  |- QuoteUsed            one quote was to be stored twice
    |  |- WrongDriveKey        a pack is not of the drive that the key is for
    |  |- BadRetention         rules for what is kept that keep nothing, or are none
    |  |- DriveFull            a drive has as many packs, commits or tags as its readers take
    |  `- NotEnoughMoney       vault and wallet do not cover it
    |     `- OverSpendingLimit    it costs more than the person allowed
    |- PeerError               the peer lied
    |  |- BadManifest          an order's contents are not what a client wrote
    |  |- Unopened             an order's bytes are those on chain, and do not open
    |  `- BadDrive             what a drive is made of is not what a client wrote
    |     |- BadChunk          a chunk does not open, or is not what is named
    |     |- BadTree           a directory, or the list of a file's chunks
    |     |- BadCommit         a commit
    |     `- BadPack           a pack, or the journal in it
    `- WorldError              the world failed
       |- DiskFailed           a file could not be written
       |  `- UnfitName         the file system cannot have a file of this name
       |- NotReadable          what was made for farmers does not give the files back
       |- OutputFailed         standard output does not take what is printed; see `output_errors`
       |- OrderMissing         the endpoint does not show an order that was there before
       |- Overtaken            another device did first what was to be done for a drive
       |- JournalsUnread       packs of a drive have to be read first for what is to be said
       |- ChunkMissing         a chunk of a drive is in no pack that is known
       |- PackGone             a pack that a new commit relies on was let go meanwhile
       |- ReadingEnded         a drive was closed while something was read from it
       |- CatalogChanged       another process changed a drive's catalog in the middle of something
       |- HomeForgetful        the home takes nothing, so nothing may be placed from it
       `- PlaceFailed          the market refused the order

What one farmer can do to us comes from `grange.peer`, `NotEnoughFarmers` from `grange.transfer`, and errors
of the chain from `grange.chain`. What a command exits with is in `grange.cli`, by category.
"""

from collections.abc import Collection
from typing import Final

from grange.errors import Category, Misuse, PeerError, UserError, WorldError
from grange.types import OrderId

PAY_MORE: Final = (
    "Allow more with `--max-price TOKENS`, or try again when cheaper farmers answer. "
    "What is whole is not fetched again."
)
"""The hint for a limit that the person gave."""
PAY_WHAT_THEY_ASK: Final = "With --max-price TOKENS they are paid what they ask, up to that."
"""The hint for farmers that are not paid without a question."""


class NotSetUp(UserError, Misuse):
    """No recovery phrase or no configuration under this home."""

    category = Category.SETUP


class NotInstalled(UserError, Misuse):
    """A command needs packages that are not installed."""

    category = Category.SETUP


class AlreadySetUp(UserError, Misuse):
    """A home that is set up already is not overwritten."""

    category = Category.SETUP


class BadPhrase(UserError, Misuse):
    """Not a recovery phrase: so many words of the BIP-39 list, with a right checksum."""

    category = Category.SETUP


class BadCard(UserError, Misuse):
    """Not a recovery card, one that is mistyped, or another home's."""

    category = Category.SETUP


class BadConfig(UserError, Misuse):
    """A configuration that cannot be read or makes no sense."""

    category = Category.SETUP


class ClockWrong(UserError, Misuse):
    """This computer's clock is off, and farmers refuse requests for it."""

    category = Category.SETUP


class NothingToStore(UserError, Misuse):
    """The paths given name nothing that can be stored."""

    category = Category.FILES


class BadName(UserError, Misuse):
    """An order cannot be called that."""

    category = Category.USAGE


class BadPath(UserError, Misuse):
    """A path that is not written as `stat --files` writes it."""

    category = Category.USAGE


class BadPattern(UserError, Misuse):
    """A pattern of names to leave out that means nothing."""

    category = Category.USAGE


class BadTime(UserError, Misuse):
    """A time that cannot be read, or is in no calendar."""

    category = Category.USAGE


class SourceChanged(UserError, Misuse):
    """A file is no longer what it was when storing began."""

    category = Category.FILES


class WouldOverwrite(UserError, Misuse):
    """Something on disk is in the way and may not be replaced."""

    category = Category.FILES


class UnknownOrder(UserError, Misuse):
    """No order, or more than one, goes by that name."""

    category = Category.ORDER


class UnknownDrive(UserError, Misuse):
    """No drive is called that, or its keys were not given to this device."""

    category = Category.ORDER


class UnknownCommit(UserError, Misuse):
    """No commit of a drive, or more than one, goes by that name or is so old."""

    category = Category.FILES


class OrderOver(UserError, Misuse):
    """The order is over, and too few of its farmers still have it."""

    category = Category.ORDER


class OrderGoesOn(UserError, Misuse):
    """The order is not over, so it cannot be closed."""

    category = Category.ORDER


class CannotExtend(UserError, Misuse):
    """It is too early to extend the order, or too late."""

    category = Category.ORDER


class QuoteUsed(UserError, Misuse):
    """A quote is good for one attempt: a second one could seal other bytes under the same key."""

    category = Category.UNEXPECTED


class WrongDriveKey(UserError, Misuse):
    """A pack is there, and is not of the drive that the key is for."""

    category = Category.SETUP


class BadRetention(UserError, Misuse):
    """Rules for which commits are kept that would keep none, or cannot be read."""

    category = Category.USAGE


class DriveFull(UserError, Misuse):
    """A drive has as many packs, commits, tags or settings as its readers take."""

    category = Category.USAGE


class NothingToTakeOut(UserError, Misuse):
    """Nothing of the vault was announced to be taken out, or it is too early for it."""

    category = Category.MONEY


class NotAccount(UserError, Misuse):
    """A home whose key acts for another account was asked for what only the account itself can do."""

    category = Category.USAGE


class UnknownMandate(UserError, Misuse):
    """A mandate that was never given, or is revoked."""

    category = Category.USAGE


class NotEnoughMoney(UserError, Misuse):
    """Vault and wallet together do not cover what is asked."""

    category = Category.MONEY


class OverSpendingLimit(NotEnoughMoney):
    """Storing it costs more than the person allowed."""


class BadManifest(UserError, PeerError):
    """The manifest of an order breaks the rules that every client keeps."""

    category = Category.DATA


class Unopened(UserError, PeerError):
    """The bytes are those that were accepted, and they do not open with this recovery phrase."""

    category = Category.DATA


class BadDrive(UserError, PeerError):
    """What a drive is made of breaks the rules that every client keeps."""

    category = Category.DATA


class BadChunk(BadDrive):
    """A chunk does not open, or is not what is named."""


class BadTree(BadDrive):
    """A directory, or the list of a file's chunks, is not what a client writes."""


class BadCommit(BadDrive):
    """A commit is not what a client writes."""


class BadPack(BadDrive):
    """A pack, or the journal in it, is not what a client writes."""


class DiskFailed(UserError, WorldError):
    """The local disk reported an error."""

    category = Category.FILES


class HomeForgetful(UserError, WorldError):
    """The home cannot be written, and what was asked for has to be remembered."""

    category = Category.FILES


class ChunkMissing(UserError, WorldError):
    """A chunk of a drive is in no pack that is known here."""

    category = Category.DATA


class PackGone(UserError, WorldError):
    """A pack that a new commit relies on was let go meanwhile."""

    category = Category.IN_USE

    def __init__(
        self, message: str, *, packs: Collection[OrderId] = (), detail: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.packs = frozenset(packs)


class ReadingEnded(UserError, WorldError):
    """A drive was closed while something was read from it."""

    category = Category.UNEXPECTED


class CatalogChanged(UserError, WorldError):
    """Another process changed a drive's catalog in the middle of something. It is only an index."""

    category = Category.IN_USE


class Overtaken(UserError, WorldError):
    """Another device, or somebody by mandate, did first what was to be done for a drive."""

    category = Category.IN_USE


class JournalsUnread(UserError, WorldError):
    """What is to be said in a drive replaces what packs say that could not be read."""

    category = Category.DATA


class OrderMissing(UserError, WorldError):
    """The endpoint does not show an order that was on the chain before."""

    category = Category.CHAIN


class UnfitName(DiskFailed):
    """The file system that is restored into cannot have this name."""


class NotReadable(UserError, WorldError):
    """What was sealed or coded here does not give back what it was made of."""


class PlaceFailed(UserError, WorldError):
    """The market did not take the order."""

    category = Category.REFUSED
