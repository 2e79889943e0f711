"""The URLs of RPC endpoints, and what may be shown of one: providers put keys into its path, its query and
its user name."""

from collections.abc import Sequence
from ipaddress import ip_address

from yarl import URL

HIDDEN = "…"
SHORTEST_SECRET_CHARACTERS = 6
"""Shorter parts, such as "v3", are words that a text may have for other reasons."""


def as_urls(urls: str | Sequence[str]) -> tuple[str, ...]:
    """One endpoint or several, as settings have them."""
    return (urls,) if isinstance(urls, str) else tuple(urls)


def public_part(url: str) -> str:
    """Scheme, host and port of a URL; anything else is not shown at all."""
    try:
        return str(URL(url).origin())
    except (ValueError, TypeError):
        return "that address"


def is_of_this_computer(url: str) -> bool:
    """Whether nobody but this computer can answer there: a loopback address."""
    try:
        host = URL(url).host or ""
        return host == "localhost" or ip_address(host).is_loopback
    except (ValueError, TypeError):
        return False


def without_secrets(text: str, url: str) -> str:
    """A text, such as an endpoint's own words, without the parts of the URL that may be secret."""
    text = text.replace(url, public_part(url))
    try:
        parts = URL(url)
    except (ValueError, TypeError):
        return text
    secrets = {parts.raw_path, parts.path, parts.raw_query_string, parts.query_string}
    secrets |= {part for part in (parts.user, parts.password, *parts.parts, *parts.query.values()) if part}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET_CHARACTERS:
            text = text.replace(secret, HIDDEN)
    return text
