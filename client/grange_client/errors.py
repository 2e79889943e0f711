"""What can go wrong for a renter, and what a command then exits with.

    GrangeError
    |- Misuse                  we misused it, or what we were given does not fit
    |  |- NotSetUp             3   there are no words or no configuration here
    |  |- NotInstalled         3   a command needs packages that are not installed
    |  |- AlreadySetUp         3   there are, and they are not overwritten
    |  |- BadWords             3   not twelve BIP-39 words
    |  |- BadConfig            3   a configuration file that cannot be read
    |  |- ClockWrong           3   this computer's clock is off
    |  |- NothingToStore       4   the paths name nothing that can be stored
    |  |- BadName              2   an order cannot be called that
    |  |- BadPath              2   a path is not written as `stat --files` writes it
    |  |- SourceChanged        4   a file changed while it was being stored
    |  |- WouldOverwrite       4   a file is in the way of what is being fetched
    |  |- UnknownOrder         4   no order has that name
    |  |- OrderOver            4   the order is over, and its farmers have deleted it
    |  |- OrderGoesOn          4   an order that is not over cannot be closed
    |  |- CannotExtend         4   an order that is over, or will not be for long, cannot be extended
    |  |- NothingToTakeOut     5   nothing was announced, or its epoch has not come
    |  |- QuoteUsed            1   one quote was to be stored twice
    |  `- NotEnoughMoney       5   vault and wallet do not cover it
    |- PeerError               the peer lied
    |  |- BadManifest          7   an order's contents are not what a client wrote
    |  `- Unopened             7   an order's bytes are those on chain, and do not open
    `- WorldError              the world failed
       |- DiskFailed           4   a file could not be written
       |  `- UnfitName         4   the file system cannot have a file of this name
       |- NotReadable          1   what was made for farmers does not give the files back
       |- OutputFailed         4   standard output does not take what is printed; see `output_errors`
       |- OrderMissing         8   the endpoint does not show an order that was there before
       |- HomeForgetful        4   the home takes nothing, so nothing may be placed from it
       `- PlaceFailed          8   the market refused the order

What one farmer can do to us comes from `grange.peer`, and `NotEnoughFarmers` from `grange.transfer`: both
exit with 6. A download that would cost more than was allowed exits with 5; chain errors come from
`grange.chain` and exit with 8; anything else that is a `GrangeError` exits with 1.
"""

from grange.errors import Misuse, PeerError, Told, WorldError
from grange.peer import EXIT_MONEY
from grange_client.output_errors import EXIT_FILES

EXIT_USAGE = 2
EXIT_SETUP = 3
EXIT_DATA = 7
EXIT_CHAIN = 8
EXIT_LEFT_OUT = 10
"""Done, but for something that could not be stored or restored. 9 is a farm's code for its disk."""


class NotSetUp(Told, Misuse):
    """No words or no configuration under this home."""

    exit_code = EXIT_SETUP


class NotInstalled(Told, Misuse):
    """A command needs packages that are not installed."""

    exit_code = EXIT_SETUP


class AlreadySetUp(Told, Misuse):
    """A home that is set up already is not overwritten."""

    exit_code = EXIT_SETUP


class BadWords(Told, Misuse):
    """Not twelve words of the BIP-39 list with a right checksum."""

    exit_code = EXIT_SETUP


class BadConfig(Told, Misuse):
    """A configuration that cannot be read or makes no sense."""

    exit_code = EXIT_SETUP


class ClockWrong(Told, Misuse):
    """This computer's clock is off, and farmers refuse requests for it."""

    exit_code = EXIT_SETUP


class NothingToStore(Told, Misuse):
    """The paths given name nothing that can be stored."""

    exit_code = EXIT_FILES


class BadName(Told, Misuse):
    """An order cannot be called that."""

    exit_code = EXIT_USAGE


class BadPath(Told, Misuse):
    """A path that is not written as `stat --files` writes it."""

    exit_code = EXIT_USAGE


class SourceChanged(Told, Misuse):
    """A file is no longer what it was when storing began."""

    exit_code = EXIT_FILES


class WouldOverwrite(Told, Misuse):
    """Something on disk is in the way and may not be replaced."""

    exit_code = EXIT_FILES


class UnknownOrder(Told, Misuse):
    """No order, or more than one, goes by that name."""

    exit_code = EXIT_FILES


class OrderOver(Told, Misuse):
    """The order is over, and too few of its farmers still have it."""

    exit_code = EXIT_FILES


class OrderGoesOn(Told, Misuse):
    """The order is not over, so it cannot be closed."""

    exit_code = EXIT_FILES


class CannotExtend(Told, Misuse):
    """It is too early to extend the order, or too late."""

    exit_code = EXIT_FILES


class QuoteUsed(Told, Misuse):
    """A quote is good for one attempt: a second one could seal other bytes under the same key."""


class NothingToTakeOut(Told, Misuse):
    """Nothing of the vault was announced to be taken out, or it is too early for it."""

    exit_code = EXIT_MONEY


class NotEnoughMoney(Told, Misuse):
    """Vault and wallet together do not cover what is asked."""

    exit_code = EXIT_MONEY


class BadManifest(Told, PeerError):
    """The manifest of an order breaks the rules that every client keeps."""

    exit_code = EXIT_DATA


class Unopened(Told, PeerError):
    """The bytes are those that were promised, and they do not open with these words."""

    exit_code = EXIT_DATA


class DiskFailed(Told, WorldError):
    """The local disk reported an error."""

    exit_code = EXIT_FILES


class HomeForgetful(Told, WorldError):
    """The home cannot be written, and what was asked for has to be remembered."""

    exit_code = EXIT_FILES


class OrderMissing(Told, WorldError):
    """The endpoint does not show an order that was on the chain before."""

    exit_code = EXIT_CHAIN


class UnfitName(DiskFailed):
    """The file system that is restored into cannot have this name."""


class NotReadable(Told, WorldError):
    """What was sealed or coded here does not give back what it was made of."""


class PlaceFailed(Told, WorldError):
    """The market did not take the order."""

    exit_code = EXIT_CHAIN
