"""From an error to what a command says and exits with: what happened, what it means, what to do.

    with explained(guidance):        one command: an error of ours becomes words and an exit code
        ...
    explanation = explain(error)     the words alone
    code = present(explanation)      on standard error; with --json also one JSON value on the output

What is a bug keeps its traceback. Imports what takes time only when there is something to say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from grange.cli.exit_codes import ExitCode, exit_code
from grange.errors import Category, GrangeError, UserError, failure_lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from grange.listed_names import ListedNames

MAX_LISTED: Final = 5
"""Of the farmers that failed; JSON has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """What differs from command to command in the words for errors of the chain: where the chain is set, as
    one would write it, and what to do."""

    rpc: str = "--rpc"
    market: str = "--market"
    chain_id: str = "--network"
    fees: str = "grange fees --max-fee-gwei"
    new_chain: str = "Set up again on the new chain."
    when_down: str = "On a devnet: is `grange devnet` running?"
    when_not_mined: str = "Look again in a while before you repeat the command."
    first_block: str = (
        "Give the file of the network, or --first-block with the block that the market was deployed in."
    )
    trust: str = "`--trust-market` takes it all the same."
    otherwise: str = "Try again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What to say of an error. `failures` says of each farmer that was tried what was wrong with it."""

    category: Category
    message: str
    detail: str = ""
    hint: str = ""
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """What a command ends with after it."""
        return exit_code(self.category)

    def to_json(self) -> dict[str, Any]:
        """For scripts: what --json prints instead of a result."""
        return {
            "error": {
                "category": self.category.value,
                "exit_code": int(self.exit_code),
                "message": self.message,
                "detail": self.detail,
                "hint": self.hint,
                "failures": dict(self.failures),
            }
        }


def explain(error: GrangeError | OSError, guidance: Guidance | None = None) -> Explanation:
    """Words for any error that was raised on purpose, and for what a disk reports of a file."""
    if isinstance(error, OSError):
        return Explanation(
            category=Category.FILES,
            message=f"{error.filename}: {error.strerror}.",
            hint="Check the disk and who may write there, then repeat the command.",
        )
    if isinstance(error, UserError):
        return Explanation(
            category=error.category,
            message=_sentence(error.message),
            detail=error.detail,
            hint=error.hint,
            failures=getattr(error, "failures", {}),
        )
    # Anyone who raises an error of the chain has loaded it.
    from grange.chain.errors import ChainError  # noqa: PLC0415
    from grange.cli.chain_words import explain_chain  # noqa: PLC0415

    detail, hint = "", ""
    if isinstance(error, ChainError):
        detail, hint = explain_chain(error, guidance or Guidance())
    return Explanation(
        category=error.category,
        message=_sentence(str(error) or type(error).__name__),
        detail=detail,
        hint=hint,
    )


def put_names(error: UserError, names: ListedNames) -> None:
    """Put the names that a person has for farmers and accounts into an error's words."""
    error.message, error.detail = names.within(error.message), names.within(error.detail)
    error.hint = names.within(error.hint)
    if failures := getattr(error, "failures", None):
        named = {names.within(who): names.within(why) for who, why in failures.items()}
        error.failures = named  # type: ignore[attr-defined]


def present(explanation: Explanation, *, as_json: bool = False) -> ExitCode:
    """Say it; returns what to exit with."""
    from rich.console import Console  # noqa: PLC0415

    print_prose(Console(stderr=True, highlight=False, markup=False, emoji=False), error_text(explanation))
    if as_json:
        print(json.dumps(explanation.to_json(), ensure_ascii=True))
    return explanation.exit_code


def print_prose(console: Console, text: RenderableType, style: str | None = None) -> None:
    """Print sentences: on a terminal its lines end between words; elsewhere each line stays whole, for `grep`
    and for logs."""
    console.print(text, style=style, soft_wrap=not console.is_terminal)


@contextmanager
def explained(guidance: Guidance | None = None, *, as_json: bool = False) -> Iterator[None]:
    """Turn an error of ours, or of a file, into words and an exit code. Raises SystemExit."""
    try:
        yield
    except GrangeError as error:
        code = present(explain(error, guidance), as_json=as_json)
    except OSError as error:
        if error.filename is None:
            raise
        # A disk that is full, read-only or failing is not a bug.
        code = present(explain(error), as_json=as_json)
    else:
        return
    sys.exit(code)


def error_text(explanation: Explanation) -> Text:
    """What happened, what it means, what to do; what a terminal would act on is replaced."""
    from rich.text import Text  # noqa: PLC0415

    text = Text(plain_text(explanation.message), style="bold red")
    lines = [f"  {line}" for line in failure_lines(explanation.failures, MAX_LISTED)]
    for line in (*lines, explanation.detail, explanation.hint):
        if line:
            text.append(f"\n{plain_text(line)}", style="not bold default")
    return text


def plain_text(text: str) -> str:
    """Text of others without what a terminal would act on."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def _sentence(text: str) -> str:
    if text.endswith((".", "!", "?")):
        # It was written as a sentence; if it begins with a small letter, that is a name: of a file, perhaps.
        return text
    first = text.split(maxsplit=1)[0]
    # A plain word gets a capital; a URL, a method or a function's name is what it is.
    if first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    return f"{text}."
