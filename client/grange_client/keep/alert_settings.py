"""Where warnings of a home go: what `grange alerts` has decided.

    alerts.json   webhook         an address that is told
                  mail_command    a program that takes a message, and its arguments
                  desktop         whether the desktop shows that there is something

In the home of a renter, readable by its owner only, since a webhook's address often is a secret. Without the
file the desktop is told, where there is one. Decides the form. Leaves telling to `grange.alerts`.
"""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from grange.alerts import AlertSettings, check_webhook
from grange.errors import Category, Misuse, UserError, WorldError
from grange.plain_errors import describe_invalid
from grange.storage.atomic_file import replace_file
from grange.storage.settings_file import read_settings

ALERTS_NAME: Final = "alerts.json"
MAX_WORDS: Final = 32
"""Of a command: a program and its arguments."""


class AlertSettingsInvalid(UserError, WorldError):
    """What is in alerts.json can't be used."""

    category = Category.SETUP


def _checked_webhook(address: str) -> str:
    try:
        if address:
            check_webhook(address)
    except Misuse as error:
        raise ValueError(str(error)) from None
    return address


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    webhook: Annotated[str, AfterValidator(_checked_webhook)] = ""
    mail_command: Annotated[tuple[str, ...], Field(max_length=MAX_WORDS)] = ()
    desktop: bool = True


def load_alert_settings(home: Path) -> AlertSettings:
    """What the home has decided. Raises AlertSettingsInvalid."""
    read = read_settings(home / ALERTS_NAME, _File, invalid=AlertSettingsInvalid)
    if read is None:
        return AlertSettings()
    return AlertSettings(webhook=read.webhook, mail_command=read.mail_command, desktop=read.desktop)


def save_alert_settings(home: Path, settings: AlertSettings) -> None:
    """Write alerts.json in one step. Raises Misuse for an address that is none or a command that is too long,
    and OSError."""
    try:
        file = _File(webhook=settings.webhook, mail_command=settings.mail_command, desktop=settings.desktop)
    except ValidationError as error:
        raise Misuse(describe_invalid(error)) from None
    replace_file(home / ALERTS_NAME, file.model_dump_json(indent=2) + "\n")
