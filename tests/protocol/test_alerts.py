"""Telling by webhook, mail command and desktop: what arrives, what fails in words, and what is not shown."""

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from aiohttp import web

from grange.alerts import (
    Alert,
    AlertFailed,
    AlertSettings,
    DesktopChannel,
    MailChannel,
    WebhookChannel,
    open_channels,
)
from grange.errors import Misuse

ALERT = Alert(
    key="ends/main/1",
    subject="A part of „main“\nBcc: someone@example.org",
    text="It ends.\n\n.\nRun this.",
    facts={"days": 7, "missing": str(1 << 90)},
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def script(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "program"
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def test_a_webhook_is_posted_json() -> None:
    got: list[tuple[str, object]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((request.method, json.loads(await request.text())))
        return web.Response(status=204)

    async with served(take) as url:
        await WebhookChannel(f"{url}/secret-path").send(ALERT)
    assert got == [
        ("POST", {"key": ALERT.key, "subject": ALERT.subject, "text": ALERT.text, "facts": dict(ALERT.facts)})
    ]


async def test_a_webhook_that_refuses_or_points_elsewhere_is_a_failure_that_does_not_name_it() -> None:
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        if request.path == "/moved":
            raise web.HTTPFound("/inside")
        return web.Response(status=500)

    async with served(answer) as url:
        for path, words in (("/moved", "answered 302"), ("/secret-path", "answered 500")):
            with pytest.raises(AlertFailed, match=words) as raised:
                await WebhookChannel(url + path).send(ALERT)
            assert "secret-path" not in str(raised.value)
    assert paths == ["/moved", "/secret-path"], "where it points to is not asked"
    with pytest.raises(AlertFailed) as raised:
        await WebhookChannel(f"{url}/secret-path").send(ALERT)
    assert "secret-path" not in str(raised.value)


async def test_a_webhook_that_says_nothing_is_given_up() -> None:
    leave = asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        await leave.wait()
        return web.Response()

    async with served(wait) as url:
        with pytest.raises(AlertFailed, match=r"within 0\.05 s"):
            await WebhookChannel(url, seconds=0.05).send(ALERT)
        leave.set()


async def test_mail_is_one_message_on_standard_input(tmp_path: Path) -> None:
    program = script(
        tmp_path,
        f"import sys; open({str(tmp_path / 'got')!r}, 'wb').write(sys.stdin.buffer.read()); "
        f"open({str(tmp_path / 'argv')!r}, 'w').write(' '.join(sys.argv))",
    )
    await MailChannel([str(program), "me@example.org"]).send(ALERT)
    message = message_from_bytes((tmp_path / "got").read_bytes(), policy=policy.default)
    assert message["Subject"] == "A part of „main“ Bcc: someone@example.org"
    assert message["Bcc"] is None, "a line end in a subject begins no header"
    assert message.get_content() == ALERT.text + "\n"
    assert (tmp_path / "argv").read_text().split()[1:] == ["me@example.org"]


@pytest.mark.parametrize(
    ("body", "words"),
    [("raise SystemExit(3)", "ended with"), ("import time; time.sleep(60)", "did not end within")],
)
async def test_a_mail_command_that_fails_or_hangs_is_a_failure_in_words(
    tmp_path: Path, body: str, words: str
) -> None:
    with pytest.raises(AlertFailed, match=words):
        await MailChannel([str(script(tmp_path, body))], seconds=1.0 if "sleep" in body else 60.0).send(ALERT)
    with pytest.raises(AlertFailed, match="cannot be run"):
        await MailChannel([str(tmp_path / "missing")]).send(ALERT)


async def test_the_desktop_is_told_that_there_is_something_and_not_what(tmp_path: Path) -> None:
    program = script(
        tmp_path, f"import sys; open({str(tmp_path / 'argv')!r}, 'w').write(' '.join(sys.argv[1:]))"
    )
    await DesktopChannel(str(program)).send(ALERT)
    shown = (tmp_path / "argv").read_text()
    assert "Grange" in shown
    assert "main" not in shown


def test_there_are_the_channels_that_were_asked_for_and_can_be_had() -> None:
    settings = AlertSettings(webhook="https://example.org/x", mail_command=("sendmail", "me"))
    assert "example.org" not in repr(settings)
    found = open_channels(settings, find_program=lambda name: f"/usr/bin/{name}")
    assert [channel.name for channel in found] == ["webhook", "mail", "desktop"]
    assert [channel.name for channel in open_channels(settings, find_program=lambda name: None)] == [
        "webhook",
        "mail",
    ]
    assert open_channels(AlertSettings(desktop=False)) == []
    for wrong in ("example.org", "ftp://example.org", "https://", "http://[::1"):
        with pytest.raises(Misuse):
            open_channels(AlertSettings(webhook=wrong))
