"""How a filter for events is asked for in JSON-RPC.

Decides where a value stands among the topics and how it looks there; refuses filters that one request cannot
express. Leaves fetching to `gateway.py`.
"""

from collections.abc import Mapping
from typing import Any

from grange.chain.codec import Abi, Element, snake, to_abi
from grange.chain.events import EventFilter
from grange.errors import Misuse


def event_topics(abi: Abi, chosen: EventFilter) -> list[Any]:
    """JSON-RPC topics of a filter."""
    elements = [abi.event(name) for name in chosen.events] or list(abi.events.values())
    topics: list[Any] = [["0x" + element.topic.hex() for element in elements] if chosen.events else None]
    for name, value in chosen.args.items():
        places = {_indexed_place(element, name) for element in elements}
        if len(places) != 1:
            raise Misuse(f"{name!r} stands at different places in {', '.join(chosen.events)}")
        place, component = places.pop(), _indexed_component(elements[0], name)
        topics += [None] * (place + 1 - len(topics))
        values = value if isinstance(value, list | tuple | set | frozenset) else [value]
        topics[place] = [_topic(item, component) for item in values]
    return topics


def _indexed_place(element: Element, name: str) -> int:
    names = [snake(parameter["name"]) for parameter in element.indexed]
    if name not in names:
        raise Misuse(f"{name!r} is not an indexed parameter of {element.name}")
    return names.index(name) + 1


def _indexed_component(element: Element, name: str) -> Mapping[str, Any]:
    return element.indexed[_indexed_place(element, name) - 1]


def _topic(value: Any, component: Mapping[str, Any]) -> str:
    if component["type"] == "address":
        return "0x" + bytes.fromhex(value[2:]).rjust(32, b"\0").hex()
    if isinstance(value, bytes):
        return "0x" + value.ljust(32, b"\0").hex()
    return "0x" + int(to_abi(value, component)).to_bytes(32, "big").hex()
