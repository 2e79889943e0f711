"""What can go wrong for a renter, and what a command then exits with.

    GrangeError
    |- Misuse                  we misused it, or what we were given does not fit
    |  |- NotSetUp             3   there are no words or no configuration here
    |  |- AlreadySetUp         3   there are, and they are not overwritten
    |  |- BadWords             3   not twelve BIP-39 words
    |  |- BadConfig            3   a configuration file that cannot be read
    |  |- NothingToStore       4   the paths name nothing that can be stored
    |  |- SourceChanged        4   a file changed while it was being stored
    |  |- WouldOverwrite       4   a file is in the way of what is being fetched
    |  |- UnknownOrder         4   no order has that name
    |  |- OrderGoesOn          4   an order that is not over cannot be closed
    |  |- QuoteUsed            1   one quote was to be stored twice
    |  `- NotEnoughMoney       5   vault and wallet do not cover it
    |- PeerError               the peer lied
    |  |- FarmerRefused        6   a farmer said no
    |  |- FarmerLied           6   a farmer sent what it should not have
    |  |- FarmerUnforeseen     6   dealing with a farmer failed in a way that has no name here
    |  |- BadManifest          7   an order's contents are not what a client wrote
    |  `- Unopened             7   an order's bytes are those on chain, and do not open
    `- WorldError              the world failed
       |- FarmerUnreachable    6   a farmer does not answer
       |- NotEnoughFarmers     6   too few of them to store, or to fetch
       |- DiskFailed           4   a file could not be written
       `- PlaceFailed          8   the market refused the order

Chain errors come from `grange.chain` and exit with 8; anything else that is a `GrangeError` exits with 1.
"""

from typing import ClassVar

from grange.errors import GrangeError, Misuse, PeerError, WorldError

EXIT_OTHER = 1
EXIT_USAGE = 2
EXIT_SETUP = 3
EXIT_FILES = 4
EXIT_MONEY = 5
EXIT_FARMERS = 6
EXIT_DATA = 7
EXIT_CHAIN = 8
EXIT_INTERRUPTED = 130


class Told(GrangeError):
    """An error that says what happened, what it means, and what to do next."""

    exit_code: ClassVar[int] = EXIT_OTHER

    def __init__(self, what: str, *, means: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.means = means
        self.todo = todo


class NotSetUp(Told, Misuse):
    """No words or no configuration under this home."""

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


class NothingToStore(Told, Misuse):
    """The paths given name nothing that can be stored."""

    exit_code = EXIT_FILES


class SourceChanged(Told, Misuse):
    """A file is no longer what it was when storing began."""

    exit_code = EXIT_FILES


class WouldOverwrite(Told, Misuse):
    """Something on disk is in the way and may not be replaced."""

    exit_code = EXIT_FILES


class UnknownOrder(Told, Misuse):
    """No order, or more than one, goes by that name."""

    exit_code = EXIT_FILES


class OrderGoesOn(Told, Misuse):
    """The order is not over, so it cannot be closed."""

    exit_code = EXIT_FILES


class QuoteUsed(Told, Misuse):
    """A quote is good for one attempt: a second one could seal other bytes under the same key."""


class NotEnoughMoney(Told, Misuse):
    """Vault and wallet together do not cover what is asked."""

    exit_code = EXIT_MONEY


class FarmerRefused(Told, PeerError):
    """A farmer answered with an error.

    `status` is the HTTP status, `code` the farmer's own word for it.
    """

    exit_code = EXIT_FARMERS

    def __init__(self, what: str, *, status: int, code: str) -> None:
        super().__init__(what)
        self.status = status
        self.code = code


class FarmerLied(Told, PeerError):
    """A farmer sent something that is provably not what it owed."""

    exit_code = EXIT_FARMERS


class FarmerUnforeseen(Told, PeerError):
    """An error of no kind we know came of dealing with one farmer; see `unforeseen`."""

    exit_code = EXIT_FARMERS


class BadManifest(Told, PeerError):
    """The manifest of an order breaks the rules that every client keeps."""

    exit_code = EXIT_DATA


class Unopened(Told, PeerError):
    """The bytes are those that were promised, and they do not open with these words."""

    exit_code = EXIT_DATA


class FarmerUnreachable(Told, WorldError):
    """A farmer did not answer, or not in time."""

    exit_code = EXIT_FARMERS


class NotEnoughFarmers(Told, WorldError):
    """Fewer farmers than needed. `failures` says of each one tried what was wrong with it."""

    exit_code = EXIT_FARMERS

    def __init__(
        self, what: str, *, failures: dict[str, str], missing: int, means: str = "", todo: str = ""
    ) -> None:
        super().__init__(what, means=means, todo=todo)
        self.failures = failures
        self.missing = missing


class DiskFailed(Told, WorldError):
    """The local disk reported an error."""

    exit_code = EXIT_FILES


class PlaceFailed(Told, WorldError):
    """The market did not take the order."""

    exit_code = EXIT_CHAIN


FARMER_FAULTS = (FarmerLied, FarmerRefused, FarmerUnforeseen, FarmerUnreachable)
"""What one farmer can do to us: the work goes on without it."""
