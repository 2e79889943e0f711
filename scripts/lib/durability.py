"""The tables of docs/durability.md, made of what the commands above them give.

    grange simulate --seed 1 --code 4/8        one command or more, indented
    grange simulate --seed 1 --code 10/30
                                               an empty line, perhaps a sentence
    | code | lost in a year |                  the columns that are shown
    | --- | --- |
    | 4 of 8 | 5.4 (4.3–6.6) |                 one row for each code and command

A table may also belong to the commands of the table before, as that of another code.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any, Final

from typer.testing import CliRunner

from grange_simulate.cli import app
from grange_simulate.gang import Renter
from grange_simulate.intervals import Estimate, estimated, in_percent

COMMAND: Final = re.compile(r" {4}grange simulate(?: ((?:(?!--plot).)*))?")
CODE: Final = re.compile(r"(\d+) of (\d+):")

Row = dict[str, Any]


def _estimate(name: str) -> Callable[[Row], str]:
    return lambda row: in_percent(Estimate(**row[name])) if row[name] else "no shock"


def _amount(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row[name]:.2f}"


def _days(option: str) -> Callable[[Row], str]:
    return lambda row: f"{row['options'][option]} days" if option in row["options"] else "never"


COLUMNS: Final[dict[str, Callable[[Row], str]]] = {
    "code": lambda row: f"{row['k']} of {row['n']}",
    "extended every": _days("--extension-days"),
    "a term of": _days("--mandate-term-days"),
    "prices rise": lambda row: f"{float(row['options'].get('--price-rise', 0)) * 100:g} % a year",
    "lost in a year": _estimate("loss_per_year"),
    "without the shock": _estimate("calm_loss_per_year"),
    "lost when 30 % vanish": _estimate("shock_loss"),
    "lost when 40 % vanish": _estimate("shock_loss"),
    "not extended": _estimate("ended_per_year"),
    "left out": lambda row: f"{row['left_out']:.1f}",
    "read for repair": _amount("read_tib"),
    "of this too late": _amount("wasted_tib"),
    "read by its renter": _amount("read_by_renters_tib"),
    "repair costs": _amount("repair_cost"),
    "rent": _amount("rent"),
    "in danger and not paid for": lambda row: f"{row['unpaid']:.1%}".replace("%", " %"),
}
GANG: Final[dict[str, tuple[Renter | None, str]]] = {
    "slots": (Renter.NEW, "slots"),
    "k or more": (None, "enough"),
    "in danger": (None, "danger"),
    "all": (None, "everything"),
    "price": (None, "price"),
    "in danger, if known by its share": (Renter.DECEIVED, "danger"),
    "slots, if the renter knows others": (Renter.LOYAL, "slots"),
}
"""Columns about the gang: the renter, or that of the column before, and what is shown."""
CHECK: Final[dict[str, Callable[[Row], str]]] = {
    "code": COLUMNS["code"],
    "farmers stay": lambda row: f"{row['lifetime_days']:g} days",
    "rebuilt after": lambda row: "never" if row["repair_days"] is None else f"{row['repair_days']:g} days",
    "exact": lambda row: f"{row['exact']:.4f}",
    "simulated": lambda row: "{probability:.4f} ({low:.4f} to {high:.4f})".format(**row["simulated"]),
}


def with_tables(page: str, *, first_rows_only: bool = False) -> str:
    """The page with what the commands give in its tables; of each table the first row only, where asked so.
    Raises ValueError for a table or a column without a command that gives it."""
    written: list[str] = []
    lines = iter(page.splitlines())
    commands: list[str] = []
    code, is_open = "", False
    for line in lines:
        written.append(line)
        if (command := COMMAND.fullmatch(line)) is not None:
            commands = [*([] if not is_open else commands), command[1] or ""]
            code, is_open = "", True
        elif (named := CODE.fullmatch(line)) is not None:
            code = f"{named[1]}/{named[2]}"
        elif line.startswith("| ") and commands:
            is_open = False
            written.append(next(lines))
            kept = list(_rows(lines))
            made = _made(commands, _cells(line), code, first_rows_only=first_rows_only)
            if len(made) > len(kept) or (not first_rows_only and len(made) != len(kept)):
                raise ValueError(f"the table below `grange simulate {commands[-1]}` has {len(kept)} rows")
            written += [*made, *kept[len(made) :], ""]
    return "\n".join(written).rstrip("\n") + "\n"


def _rows(lines: Iterator[str]) -> Iterator[str]:
    """Of the table that has begun; takes the empty line behind it, too."""
    for line in lines:
        if not line.startswith("|"):
            return
        yield line


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split("|")]


def _made(commands: list[str], headings: list[str], code: str, *, first_rows_only: bool) -> list[str]:
    """The rows of a table of these commands."""
    if commands[0].startswith("gang"):
        rows = _gang_rows(commands[0], headings, code, first_rows_only=first_rows_only)
    elif commands[0].startswith("check"):
        found = _given(commands[0])
        rows = [[CHECK[heading](row) for heading in headings] for row in found]
    else:
        asked = [_only_first(command) if first_rows_only else command for command in commands]
        answers = [_given(command)["codes"] for command in asked]
        options = [_options(command) for command in asked]
        by_code = [
            row | {"options": given}
            for same_code in zip(*answers, strict=True)
            for row, given in zip(same_code, options, strict=True)
        ]
        rows = [[COLUMNS[heading](row) for heading in headings] for row in by_code]
    if first_rows_only:
        rows = rows[:1]
    return [f"| {' | '.join(row)} |" for row in rows]


def _only_first(command: str) -> str:
    """The same command for the first of its codes: what it gives for that does not depend on the others."""
    words = shlex.split(command)
    codes = [word for before, word in pairwise(words) if before == "--code"]
    kept = [word for word in words if word not in ("--code", *codes)]
    return shlex.join([*kept, "--code", codes[0] if codes else "4/8"])


def _options(command: str) -> dict[str, str]:
    words = shlex.split(command)
    return dict(zip(words[::2], words[1::2], strict=True))


def _gang_rows(command: str, headings: list[str], code: str, *, first_rows_only: bool) -> list[list[str]]:
    shown = code or _options(command.removeprefix("gang"))["--code"]
    if first_rows_only:
        command = f"gang --share 0.05 --code {shown}" if command == "gang" else command
    cases: dict[float, dict[str, Row]] = {}
    for one in _given(command)["cases"]:
        if f"{one['code']['k']}/{one['code']['n']}" == shown:
            cases.setdefault(one["gang"]["share"], {})[one["renter"]] = one
    rows = []
    for share, renters in cases.items():
        row, renter = [f"{share:.0%}"], Renter.NEW
        for heading in headings[1:]:
            other, field = GANG[heading]
            renter = other or renter
            row.append(_gang_cell(renters[renter], field))
        rows.append(row)
    return rows


def _gang_cell(case: Row, field: str) -> str:
    if field == "slots":
        return f"{case[field]:.1f}"
    if field == "price":
        return f"{case[field]:.2f}"
    return in_percent(estimated(case[field], case["orders"]))


@cache
def _given(command: str) -> Any:
    """The JSON of a command."""
    done = CliRunner().invoke(app, [*shlex.split(command), "--json"])
    if done.exit_code != 0:
        raise ValueError(f"grange simulate {command}: {done.output}")
    return json.loads(done.stdout)
