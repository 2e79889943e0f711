"""Telling a person something while nobody looks: by a webhook, a mail command, or the desktop.

    channels = open_channels(AlertSettings(webhook="https://…", mail_command=("sendmail", "me@example.org")))
    await channels[0].send(Alert(key="ends/…", subject="…", text="…"))

A webhook is POSTed a JSON object, and anything but an answer of 2xx is a failure. Redirects are not followed:
the address is the person's own, and where its server points to is somebody else's choice. The mail command
gets a whole message on its standard input, as `sendmail ADDRESS` takes it; the desktop is `notify-send`.
What is told is never on a command line, where every user of the computer can read it, and neither is the
webhook's address, which often is a secret. Each channel has SEND_SECONDS.
"""

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp

from grange.errors import Category, Misuse, UserError, WorldError
from grange.plain_errors import describe_http_error
from grange.processes import end_process

SEND_SECONDS: Final = 20.0
DESKTOP_COMMAND: Final = "notify-send"
DESKTOP_TEXT: Final = "Open a terminal for details."
_SUCCESS: Final = range(200, 300)


class AlertFailed(UserError, WorldError):
    """A channel did not take what was to be told."""

    category = Category.SETUP


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that a person should know."""

    key: str
    """The same for the same thing, so that a receiver sees what comes twice."""
    subject: str
    """One line."""
    text: str
    facts: Mapping[str, str | int] = field(default_factory=dict)
    """For programs; amounts are texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """Where alerts go."""

    webhook: str = field(default="", repr=False)
    mail_command: tuple[str, ...] = ()
    """The program and its arguments; it is run without a shell."""
    desktop: bool = True
    """Where there is one."""


class AlertChannel(Protocol):
    """Takes alerts to a person."""

    name: str
    """What a person calls it; remembered with what it was told."""

    async def send(self, alert: Alert) -> None:
        """Tell it. Raises AlertFailed."""


def open_channels(
    settings: AlertSettings, *, find_program: Callable[[str], str | None] = shutil.which
) -> list[AlertChannel]:
    """The channels that there are. Raises Misuse for a webhook that is no address."""
    channels: list[AlertChannel] = []
    if settings.webhook:
        channels.append(WebhookChannel(settings.webhook))
    if settings.mail_command:
        channels.append(MailChannel(settings.mail_command))
    if settings.desktop and (program := find_program(DESKTOP_COMMAND)):
        channels.append(DesktopChannel(program))
    return channels


def check_webhook(url: str) -> None:
    """Raise Misuse, which does not say it, for a webhook that is no address."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    if not is_address:
        raise Misuse("a webhook is an address that begins with https:// or http://")


class WebhookChannel:
    """POSTs JSON."""

    name = "webhook"

    def __init__(self, url: str, *, seconds: float = SEND_SECONDS) -> None:
        """Raises Misuse for what is no address."""
        check_webhook(url)
        self._url = url
        self._seconds = seconds

    async def send(self, alert: Alert) -> None:
        """Raises AlertFailed, which does not say the address."""
        body = {"key": alert.key, "subject": alert.subject, "text": alert.text, "facts": dict(alert.facts)}
        timeout = aiohttp.ClientTimeout(total=self._seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self._url, json=body, allow_redirects=False) as answer,
            ):
                status = answer.status
        except TimeoutError:
            raise _failed(self.name, f"it did not answer within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            # The error itself may name the address, and that is a secret.
            raise _failed(self.name, describe_http_error(error)) from None
        if status not in _SUCCESS:
            raise _failed(self.name, f"it answered {status}")


class MailChannel:
    """Runs a command with a message on its standard input."""

    name = "mail"

    def __init__(self, command: Sequence[str], *, seconds: float = SEND_SECONDS) -> None:
        self._command = tuple(command)
        self._seconds = seconds

    async def send(self, alert: Alert) -> None:
        """Raises AlertFailed."""
        message = EmailMessage()
        # A header is one line.
        message["Subject"] = " ".join(alert.subject.split())
        message.set_content(alert.text)
        await _run(self.name, self._command, message.as_bytes(), self._seconds)


class DesktopChannel:
    """Shows one line on the desktop. Command lines can be read by others on the computer, so the line says
    that there is something, and not what."""

    name = "desktop"

    def __init__(self, program: str, *, seconds: float = SEND_SECONDS) -> None:
        self._program = program
        self._seconds = seconds

    async def send(self, alert: Alert) -> None:
        """Raises AlertFailed."""
        words = (self._program, "--app-name=Grange", "--", "Grange needs you", DESKTOP_TEXT)
        await _run(self.name, words, b"", self._seconds)


async def _run(name: str, command: Sequence[str], given: bytes, seconds: float) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _failed(name, f"{command[0]} cannot be run ({reason})") from error
    try:
        async with asyncio.timeout(seconds):
            await process.communicate(given)
    except TimeoutError:
        raise _failed(name, f"{command[0]} did not end within {seconds:g} s") from None
    finally:
        await end_process(process)
    if process.returncode:
        raise _failed(name, f"{command[0]} ended with {process.returncode}")


def _failed(name: str, reason: str) -> AlertFailed:
    return AlertFailed(
        f"What should be told by {name} was not: {reason}.", hint="It is tried again the next time."
    )
