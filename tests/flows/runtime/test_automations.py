"""What a Prefect server tells people of by itself: by Prefect's own schemas, with messages as the server renders them."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.runtime.automations import automations, create_automations
from imperv.tasks.errors import InputError

WEBHOOK = uuid4()
FOUND = {automation.name: automation for automation in automations(WEBHOOK)}


def test_all_that_the_documents_speak_of_is_there():
    assert set(FOUND) == {
        "imperv: a production is silent", "imperv: a production failed", "imperv: tiles fail", "imperv: a work pool is paused",
        "imperv: a work pool has no workers",
    }  # fmt: skip
    assert all(automation.description for automation in FOUND.values())


@pytest.mark.parametrize("name", FOUND)
def test_the_server_takes_them_and_each_message_is_json(name):
    """By the server's own models, with values that need care in JSON."""
    from prefect.server.events.schemas.automations import AutomationCore
    from prefect.server.events.schemas.labelling import LabelDiver
    from prefect.server.utilities.user_templates import render_user_template
    from prefect.types._datetime import now

    taken = AutomationCore.model_validate(FOUND[name].model_dump(mode="json"))
    (action,) = taken.actions
    assert action.type == "call-webhook" and action.block_document_id == WEBHOOK
    labels = {
        "prefect.resource.id": "x.1", "prefect.resource.name": 'a "b\\c', "prefect.state-name": "Failed",
        "prefect.state-message": 'two\nlines "x"',
    }  # fmt: skip

    class Event:
        resource = labels
        occurred = now("UTC")

    text = asyncio.run(render_user_template(action.payload, {"event": Event, "labels": LabelDiver(labels)}))
    said = json.loads(text)
    assert set(said) == {"text"} and said["text"].startswith("imperv: ") and 'a "b\\c' in said["text"]
    assert "two\nlines" in said["text"] or "prefect.flow-run.Failed" not in taken.trigger.expect


def test_silence_is_the_absence_of_what_parents_emit():
    trigger = FOUND["imperv: a production is silent"].trigger
    assert trigger.posture.value == "Proactive" and trigger.within.total_seconds() == 180
    assert trigger.after == {"imperv.production.alive"} and trigger.for_each == {"prefect.resource.id", "prefect.resource.name"}
    assert trigger.expect == {f"imperv.production.{what}" for what in ("alive", "ended", "stopped")}


def test_requests_that_cannot_be_met_are_refused(monkeypatch, capsys):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert main(["automations", "--notify", "https://example.org/x"]) == 2
    assert "PREFECT_API_URL names no Prefect server" in capsys.readouterr().err
    with pytest.raises(InputError, match="call web addresses only"):
        asyncio.run(create_automations("mail -s x ops@example.org"))
