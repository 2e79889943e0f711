"""How a filter for events is asked for in JSON-RPC.

Decides where a value stands among the topics and how it looks there; refuses filters that one request cannot
express. Leaves fetching to `gateway.py`.
"""

from typing import Any

from grange.chain.codec import Abi, Element
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
        place = places.pop()
        kind = elements[0].indexed.types[place - 1]
        topics += [None] * (place + 1 - len(topics))
        values = value if isinstance(value, list | tuple | set | frozenset) else [value]
        topics[place] = ["0x" + kind.encode(item).hex() for item in values]
    return topics


def _indexed_place(element: Element, name: str) -> int:
    names = element.indexed.names
    if name not in names:
        raise Misuse(f"{name!r} is not an indexed parameter of {element.name}")
    return names.index(name) + 1
