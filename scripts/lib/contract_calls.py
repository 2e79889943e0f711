"""What each external call of the market goes through, read from the compiler's syntax trees.

`external_calls` finds the calls and `page` writes them down. No function of the market is virtual, so a call
in the source names the one function that runs: `external_calls` raises ValueError where that is not so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from lib.tree import PARTS

Node = Mapping[str, Any]
"""One node of a syntax tree, as the compiler writes it."""

OF_THE_MARKET = "contracts/modules/"
# Followed no further: what they do is said by their names. All else outside of the modules is arithmetic.
SHOWN_OUTSIDE = ("Merkle.sol", "Mountain.sol", "Bounty.sol", "ECDSA.sol", "SafeERC20.sol", "IERC20Permit.sol")
EVERYWHERE = {"_currentEpoch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One function on the way, and the functions that it calls, in the order in which they are written."""

    function: str
    emits: tuple[str, ...]
    steps: tuple[Step, ...]
    seen_before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalCall:
    """One function that anyone can call at the market's address."""

    name: str
    parameters: tuple[str, ...]
    contract: str
    notice: str
    way: Step
    errors: tuple[str, ...]

    @property
    def modules(self) -> list[str]:
        """The modules that it goes through, in the order in which it comes to them."""
        return list(dict.fromkeys(step.function.split(".")[0] for step in _all_steps(self.way)))


def external_calls(sources: Mapping[str, Node]) -> list[ExternalCall]:
    """Every external function of the market, by name. `sources` is that of standard JSON's output."""
    trees = {path: source["ast"] for path, source in sources.items()}
    reader = _Reader(trees)
    answered: dict[str, ExternalCall] = {}
    for path in PARTS:  # what one has itself never comes to the next
        for call in reader.calls(trees[path]):
            answered.setdefault(call.name, call)
    return sorted(answered.values(), key=lambda call: call.name.lower())


def page(calls: Sequence[ExternalCall]) -> str:
    """The calls as Markdown: an overview, then each with its way."""
    rows = [f"| [`{call.name}`](#{call.name.lower()}) | {' > '.join(call.modules)} |" for call in calls]
    overview = "\n".join(["| call | modules |", "| --- | --- |", *rows])
    return "\n".join([overview, *map(_section, calls)])


def _section(call: ExternalCall) -> str:
    lines = "\n".join(_drawn(call.way, depth=0))
    head = f"`{call.name}({', '.join(call.parameters)})`, in `{call.contract}`. {call.notice}"
    refused = f"\n\nRefused with: {', '.join(f'`{name}`' for name in call.errors)}." if call.errors else ""
    return f"\n### {call.name}\n\n{head}\n\n```\n{lines}\n```{refused}"


def _drawn(step: Step, *, depth: int) -> Iterator[str]:
    emits = f"  emits {', '.join(step.emits)}" if step.emits else ""
    yield f"{'  ' * depth}{step.function}{'  (as above)' if step.seen_before else emits}"
    for inner in step.steps:
        yield from _drawn(inner, depth=depth + 1)


def _all_steps(step: Step) -> Iterator[Step]:
    yield step
    for inner in step.steps:
        yield from _all_steps(inner)


class _Reader:
    """The declarations of all sources by their ids."""

    def __init__(self, trees: Mapping[str, Node]) -> None:
        self._contracts: dict[int, Node] = {}
        self._functions: dict[int, tuple[str, str, Node]] = {}
        for path, tree in trees.items():
            for unit in tree["nodes"]:
                if unit["nodeType"] == "ContractDefinition":
                    self._contracts[unit["id"]] = unit
                for node in unit.get("nodes", ()):
                    if node["nodeType"] in ("FunctionDefinition", "ModifierDefinition"):
                        self._functions[node["id"]] = (path, unit["name"], node)

    def calls(self, tree: Node) -> Iterator[ExternalCall]:
        """The external functions of the contract that a file declares."""
        for contract in (unit for unit in tree["nodes"] if unit["nodeType"] == "ContractDefinition"):
            for base in contract["linearizedBaseContracts"]:
                for node in self._contracts[base].get("nodes", ()):
                    if _is_external(node):
                        yield self._call(contract["name"], node)

    def _call(self, contract: str, node: Node) -> ExternalCall:
        _, _, declared = self._functions[node["baseFunctions"][0]]
        errors: set[str] = set()
        return ExternalCall(
            name=node["name"],
            parameters=tuple(each["name"] for each in declared["parameters"]["parameters"]),
            contract=contract,
            notice=_notice(declared["documentation"]["text"]),
            way=self._step(node["id"], set(), errors),
            errors=tuple(sorted(errors)),
        )

    def _step(self, function: int, seen: set[int], errors: set[str]) -> Step:
        path, contract, node = self._functions[function]
        if node.get("virtual") and path.startswith(OF_THE_MARKET):
            raise ValueError(f"{contract}.{node['name']} is virtual: what runs is not what the source names")
        name = f"{contract}.{node['name']}"
        ours = path.startswith(OF_THE_MARKET)
        if function in seen:
            return Step(function=name, emits=(), steps=(), seen_before=True)
        emits, called = [], []
        for inner in _nodes(node) if ours else ():
            match inner["nodeType"]:
                case "EmitStatement":
                    emits.append(_name(inner["eventCall"]))
                case "RevertStatement":
                    errors.add(_name(inner["errorCall"]))
                case "FunctionCall":
                    called.append(_name_id(inner))
        steps = [self._step(each, seen, errors) for each in dict.fromkeys(called) if self._is_shown(each)]
        if steps or emits:
            seen.add(function)
        return Step(function=name, emits=tuple(dict.fromkeys(emits)), steps=tuple(steps))

    def _is_shown(self, function: int) -> bool:
        if function not in self._functions:
            return False  # a conversion, an event, an error or something built in
        path, _, node = self._functions[function]
        if node["name"] in EVERYWHERE:
            return False
        return path.startswith(OF_THE_MARKET) or PurePosixPath(path).name in SHOWN_OUTSIDE


def _is_external(node: Node) -> bool:
    if node["nodeType"] != "FunctionDefinition" or node["kind"] != "function":
        return False
    return bool(node["implemented"]) and node["visibility"] in ("external", "public")


def _name(call: Node) -> str:
    """What an event's or an error's call names."""
    expression = call["expression"]
    name: str = expression.get("memberName") or expression["name"]
    return name


def _name_id(call: Node) -> int:
    """The id of the declaration that a call names; 0 where it names none."""
    expression = call["expression"]
    while expression["nodeType"] == "FunctionCallOptions":
        expression = expression["expression"]
    return int(expression.get("referencedDeclaration") or 0)


def _notice(documentation: str) -> str:
    """The first part of a documentation comment, which is `@notice` in the market, on one line."""
    first = documentation.strip().removeprefix("@notice").removeprefix("@dev").split("@", 1)[0]
    notice = " ".join(first.split())
    return notice[:1].upper() + notice[1:]


def _nodes(node: Any) -> Iterator[Node]:
    """A node and all below it, in the order of the source."""
    if isinstance(node, dict):
        if "nodeType" in node:
            yield node
        below = [value for value in node.values() if isinstance(value, dict | list)]
        for value in sorted(below, key=_position):
            yield from _nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value)


def _position(value: Any) -> int:
    """Where in its file a node, or the first of a list of nodes, begins."""
    if isinstance(value, list):
        value = next((each for each in value if isinstance(each, dict)), {})
    return int(value.get("src", "0:").split(":")[0])
