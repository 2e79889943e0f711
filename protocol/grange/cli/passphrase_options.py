"""The options by which a command is told the passphrase of its keys, and where commands find it.

    @app.command()
    @opens_keys                       --passphrase-file, --passphrase-fd
    def run(...):
        wallet = load_key(folder, command_passphrases())

    @makes_keys                       and --no-encryption
    def init(...):
        passphrase = passphrase_for_new("my key", is_devnet=False)

    @changes_passphrase               and --new-passphrase-file, --keyring

Decides names and words of these options, the same for all programs. Leaves where a passphrase comes from to
`grange.keystore.passphrases`. A passphrase itself is taken by no option: the system shows command lines to
everybody.
"""

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_type_hints

import typer

from grange.cli.confirm import ask_hidden, is_terminal
from grange.cli.presenter import plain_text
from grange.keystore.passphrases import FILE_VARIABLE, PassphraseNeeded, Passphrases

_HOW_TO_GIVE_NEW: Final = "Give --new-passphrase-file FILE. In a terminal you are asked."

Function = TypeVar("Function", bound=Callable[..., Any])

_FILES = Annotated[
    list[Path] | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        envvar=FILE_VARIABLE,
        show_envvar=True,
        help="A file whose first line is the passphrase of the keys; repeatable, where they differ.",
    ),
]
_DESCRIPTORS = Annotated[
    list[int] | None,
    typer.Option("--passphrase-fd", metavar="NUMBER", min=0, help="The same out of an open file descriptor."),
]
_NO_ENCRYPTION = Annotated[
    bool,
    typer.Option(
        "--no-encryption",
        help="Keep the new key in clear: anyone who can read the file, or the disk, has it.",
    ),
]


_NEW_FILE = Annotated[
    Path | None,
    typer.Option(
        "--new-passphrase-file", metavar="FILE", help="A file whose first line is the new passphrase."
    ),
]
_KEYRING = Annotated[
    bool,
    typer.Option(
        "--keyring", help="Give the passphrase to this system's keyring, which is then asked before you are."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPassphrase:
    """What keys are locked with from now on; None for in clear."""

    passphrase: str | None = field(repr=False)
    in_keyring: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    passphrases: Passphrases
    no_encryption: bool = False
    new_file: Path | None = None
    keyring: bool = False


_GIVEN: Final[ContextVar[_Options | None]] = ContextVar("passphrases of the command that runs", default=None)


def opens_keys(function: Function) -> Function:
    """For a command that opens keys which may be locked."""
    return _with_options(function, {"passphrase_file": _FILES, "passphrase_fd": _DESCRIPTORS})


def makes_keys(function: Function) -> Function:
    """For one that also makes a key."""
    options = {"passphrase_file": _FILES, "passphrase_fd": _DESCRIPTORS, "no_encryption": _NO_ENCRYPTION}
    return _with_options(function, options)


def changes_passphrase(function: Function) -> Function:
    """For one that gives keys another passphrase."""
    options = {
        "passphrase_file": _FILES,
        "passphrase_fd": _DESCRIPTORS,
        "new_passphrase_file": _NEW_FILE,
        "keyring": _KEYRING,
        "no_encryption": _NO_ENCRYPTION,
    }
    return _with_options(function, options)


def command_passphrases() -> Passphrases:
    """What the command that runs was told. Asks at the terminal for what it was not, where there is one."""
    return _given().passphrases


def passphrase_for_new(what: str, *, is_devnet: bool, lock: str) -> str | None:
    """What something new is to be locked with; None to keep it in clear, which is said. `lock` is the command
    that locks it later. Raises PassphraseNeeded where nobody says what is wanted.

    On a devnet nobody is asked: nothing there is worth anything.
    """
    given = _given()
    if given.no_encryption and given.passphrases.are_given:
        raise typer.BadParameter("Give a passphrase or --no-encryption, not both.")
    passphrase = None
    if not given.no_encryption and not (is_devnet and not given.passphrases.are_given):
        passphrase = given.passphrases.choose(what)
    if passphrase is None:
        _warn(
            f"{what[0].upper()}{what[1:]} is kept in clear: anyone who can read this disk, or a backup of "
            f"it, has it. Lock it with: {lock}"
        )
    return passphrase


def new_passphrase(what: str, *, is_locked: bool) -> NewPassphrase:
    """The passphrase that takes the place of the old one, for a command that `changes_passphrase`. What was
    given to open the old is not the new, unless there was nothing to open. Raises PassphraseNeeded."""
    given = _given()
    if given.no_encryption and (given.new_file or given.keyring):
        raise typer.BadParameter("--no-encryption goes with neither --new-passphrase-file nor --keyring.")
    if given.no_encryption:
        return NewPassphrase(passphrase=None, in_keyring=False)
    if given.new_file is not None:
        chosen = _passphrases([given.new_file]).choose(what)
    elif is_locked:
        chosen = given.passphrases.think_up(what, how_to_give=_HOW_TO_GIVE_NEW)
    else:
        chosen = given.passphrases.choose(what)
    if chosen is None:
        raise PassphraseNeeded("No passphrase was given.", hint="--no-encryption keeps keys in clear.")
    return NewPassphrase(passphrase=chosen, in_keyring=given.keyring)


def _given() -> _Options:
    return _GIVEN.get() or _Options(passphrases=_passphrases())


def _passphrases(files: list[Path] | None = None, descriptors: list[int] | None = None) -> Passphrases:
    ask = ask_hidden if is_terminal() else None
    return Passphrases(files=files or (), descriptors=descriptors or (), ask=ask, tell=_warn)


def _warn(text: str) -> None:
    typer.echo(plain_text(text), err=True)


def _with_options(function: Function, options: dict[str, Any]) -> Function:
    @wraps(function)
    def run(*arguments: Any, **given: Any) -> Any:
        chosen = {name: given.pop(name, None) for name in options}
        said = _GIVEN.set(
            _Options(
                passphrases=_passphrases(chosen["passphrase_file"], chosen["passphrase_fd"]),
                no_encryption=bool(chosen.get("no_encryption")),
                new_file=chosen.get("new_passphrase_file"),
                keyring=bool(chosen.get("keyring")),
            )
        )
        try:
            return function(*arguments, **given)
        finally:
            _GIVEN.reset(said)

    # typer reads options out of signature and annotations.
    hints = {**get_type_hints(function, include_extras=True), **options}
    signature = inspect.signature(function)
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if name in ("no_encryption", "keyring") else None,
            annotation=annotation,
        )
        for name, annotation in options.items()
    ]
    kept = [one.replace(annotation=hints[one.name]) for one in signature.parameters.values()]
    changed: Any = run
    changed.__signature__ = signature.replace(parameters=[*kept, *added])
    changed.__annotations__ = hints
    return changed  # type: ignore[no-any-return]
