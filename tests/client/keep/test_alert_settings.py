"""Where warnings go: kept in the home, readable by its owner only, and refused when it cannot be used."""

from pathlib import Path

import pytest

from grange.alerts import AlertSettings
from grange.errors import Misuse
from grange_client.keep.alert_settings import (
    ALERTS_NAME,
    AlertSettingsInvalid,
    load_alert_settings,
    save_alert_settings,
)


def test_what_was_decided_is_read_again(tmp_path: Path) -> None:
    assert load_alert_settings(tmp_path) == AlertSettings()
    settings = AlertSettings(
        webhook="https://example.org/hook", mail_command=("sendmail", "me@example.org"), desktop=False
    )
    save_alert_settings(tmp_path, settings)
    assert load_alert_settings(tmp_path) == settings
    assert (tmp_path / ALERTS_NAME).stat().st_mode & 0o777 == 0o600, "the address is often a secret"


def test_what_is_no_address_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="https://"):
        save_alert_settings(tmp_path, AlertSettings(webhook="example.org"))
    with pytest.raises(Misuse):
        save_alert_settings(tmp_path, AlertSettings(mail_command=("word",) * 33))
    assert not (tmp_path / ALERTS_NAME).exists()


@pytest.mark.parametrize("text", ["{", '{"webhook": "ftp://x"}', '{"other": 1}', '{"desktop": 5}'])
def test_a_file_that_cannot_be_used_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / ALERTS_NAME).write_text(text)
    with pytest.raises(AlertSettingsInvalid, match=ALERTS_NAME):
        load_alert_settings(tmp_path)
