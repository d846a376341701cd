"""Alerts to a real web server and to real scripts; notifiers that fail, hang, or are not there."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from imperv.flows.production import notifying
from imperv.flows.production.notifying import Alert, check_notifiers, send, shown
from imperv.flows.production.state import settings_digest
from imperv.tasks.errors import InputError
from imperv.tasks.settings.production import Production
from imperv.tasks.settings.watch import WatchSettings
from tests.support.webhook_server import receiving

ALERT = Alert(
    "failed", "austria: tile E43N32 failed", ("IMD_then: bad.tif is no raster",), {"production": "austria", "store": "s3://b/p"}
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(notifying, "LONGEST_PAUSE", 0.1)


def told(*notifiers: str, patience: float = 20.0) -> list[bool]:
    return asyncio.run(send([SecretStr(n) for n in notifiers], ALERT, patience))


def script(folder: Path, body: str) -> str:
    path = folder / "alert.sh"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_an_alert_as_slack_takes_it():
    with receiving() as hook:
        assert told(hook.url) == [True]
    (body,) = hook.got
    assert body.pop("type") == "application/json"
    fields = [
        {"title": "event", "value": "failed", "short": True},
        {"title": "production", "value": "austria", "short": True},
        {"title": "store", "value": "s3://b/p", "short": True},
    ]
    assert body == {
        "text": "austria: tile E43N32 failed",
        "attachments": [{"color": "danger", "text": "IMD_then: bad.tif is no raster", "fields": fields}],
    }


def test_a_command_reads_the_alert(tmp_path):
    command = script(tmp_path, f'echo "$1|$2|$IMPERV_EVENT|$IMPERV_SUBJECT" > {tmp_path}/words; cat > {tmp_path}/text')
    assert told(f"{command} -s '{{subject}}'") == [True]
    assert (tmp_path / "words").read_text() == "-s|austria: tile E43N32 failed|failed|austria: tile E43N32 failed\n"
    assert (tmp_path / "text").read_text() == (
        "austria: tile E43N32 failed\nIMD_then: bad.tif is no raster\nproduction: austria\nstore: s3://b/p\n"
    )


def test_no_shell_sees_what_a_subject_says(tmp_path):
    evil = Alert("failed", f"x; touch {tmp_path}/made $(touch {tmp_path}/made)")
    command = script(tmp_path, "cat > /dev/null")
    assert asyncio.run(send([SecretStr(f"{command} {{subject}}")], evil, 1)) == [True]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("answers", [[500, 503, 200], [429, 200], [408, 200]])
def test_a_busy_server_is_asked_again(answers, caplog):
    with receiving(*answers) as hook:
        assert told(hook.url) == [True]
    assert len(hook.got) == 1 and hook.asked == len(answers)
    (line,) = caplog.messages
    assert f"took no alert (HTTP {answers[0]}); trying for up to 20 s" in line


@pytest.mark.parametrize("answer", [400, 403, 404, 302])
def test_a_refusal_is_final(answer, caplog):
    with receiving(answer) as hook:
        assert told(hook.url) == [False]
        assert hook.asked == 1
    assert caplog.messages == [f'notify: {hook.url[: hook.url.index("/services")]} did not take "{ALERT.subject}": HTTP {answer}']


@pytest.mark.slow
def test_a_server_that_is_away_or_silent_costs_no_more_than_the_patience(monkeypatch, caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{free.getsockname()[1]}/hook"
    began = time.monotonic()
    assert told(gone, patience=1.0) == [False]
    assert time.monotonic() - began < 60
    assert "no connection" in caplog.text
    monkeypatch.setattr(notifying, "ANSWER", 0.2)
    with receiving(*[-1] * 20) as hook:
        began = time.monotonic()
        assert told(hook.url, patience=1.0) == [False]
        assert time.monotonic() - began < 60 and hook.asked > 1
    assert "no answer in time" in caplog.text


def test_one_that_fails_keeps_no_other_from_being_told(tmp_path):
    with receiving(*[500] * 100) as bad, receiving() as good:
        assert told(bad.url, good.url, script(tmp_path, "exit 3"), "no-such-command", patience=0.5) == [False, True, False, False]
    assert len(good.got) == 1


def test_commands_that_fail_or_hang(tmp_path, monkeypatch, caplog):
    assert told(script(tmp_path, "echo first; echo no route to mail >&2; exit 3"), patience=0.0) == [False]
    assert "exit code 3: no route to mail" in caplog.text
    monkeypatch.setattr(notifying, "COMMAND", 0.5)
    began = time.monotonic()
    # What the script has started holds its output open.
    assert told(script(tmp_path, "sleep 60 & sleep 60"), patience=0.0) == [False]
    assert time.monotonic() - began < 50 and "not done after 0.5 s" in caplog.text


# secrets --------------------------------------------------------------------------------------------------------


def test_an_address_is_never_shown_whole(caplog):
    caplog.set_level(logging.DEBUG, "flows")
    with receiving(500, 404) as hook:
        told(hook.url.replace("127.0.0.1", "user:SECRET@127.0.0.1"))
        assert shown(SecretStr(hook.url)) == hook.url[: hook.url.index("/services")]
    assert hook.asked == 2 and "SECRET" not in caplog.text
    assert shown(SecretStr("mail -s SECRET ops@example.org")) == "mail"


def test_settings_hold_it_and_show_it_to_nobody(tmp_path):
    url = "https://hooks.example.org/services/SECRET"
    text = '[periods]\nthen = "2021"\nnow = "2024"\n[scenes]\ncatalogue = "items.json"\n'
    (tmp_path / "production.toml").write_text(text + f'[watch]\nnotify = ["{url}"]\n')
    found = Production.read(tmp_path)
    assert found.watch.notify[0].get_secret_value() == url
    for said in (repr(found), str(found), found.model_dump_json(), str(found.model_dump())):
        assert "SECRET" not in said
    (tmp_path / "production.toml").write_text(text)
    assert settings_digest(found, None) == settings_digest(Production.read(tmp_path), None)


@pytest.mark.parametrize("wrong", ["ftp://host/SECRET", "https:///SECRET", "", "   ", 'mail "SECRET'])
def test_what_is_no_notifier_is_refused_without_being_shown(wrong, tmp_path):
    with pytest.raises(ValidationError) as caught:
        WatchSettings(notify=(wrong,))
    assert "give an http(s) address or a command such as" in str(caught.value.errors()[0]["msg"])
    with pytest.raises(InputError) as refused:
        (tmp_path / "production.toml").write_text(
            f'[periods]\nthen = "2021"\nnow = "2024"\n[scenes]\ncatalogue = "x"\n[watch]\nnotify = \'{wrong}\'\n'
        )
        Production.read(tmp_path)
    assert "watch.notify" in str(refused.value) and "SECRET" not in str(refused.value)


def test_a_command_that_is_not_here_is_refused_before_anything_runs():
    check_notifiers([SecretStr("https://example.org/x"), SecretStr("sh -c true")])
    with pytest.raises(InputError, match="notify: there is no command maill here"):
        check_notifiers([SecretStr("maill -s x ops@example.org")])
