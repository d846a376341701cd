"""Automations of a Prefect server (`deployments/automations.yaml`) with the web address that they alert."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import httpx
import yaml
from prefect import get_client
from prefect.blocks.webhook import Webhook
from prefect.exceptions import PrefectException
from prefect.types import SecretDict
from pydantic import SecretStr

from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.settings.watch import WatchSettings

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.events.schemas.automations import AutomationCore

BLOCK = "imperv-alerts"
"""Prefect block that keeps the address, encrypted."""


def automations(webhook: UUID) -> list[AutomationCore]:
    """All automations, calling a webhook."""
    from prefect.events.schemas.automations import AutomationCore

    table: dict[str, Any] = yaml.safe_load(resources.files("imperv.deployments").joinpath("automations.yaml").read_text("utf-8"))
    for entry in table["automations"]:
        for action in entry["actions"]:
            action["block_document_id"] = webhook
    return [AutomationCore.model_validate(entry) for entry in table["automations"]]


async def create_automations(url: str) -> list[str]:
    """Create or replace the automations of the configured server, with an address that takes Slack's JSON; their names."""
    if "://" not in url:
        raise InputError("--notify: automations call web addresses only; give one such as 'https://hooks.example.org/...'")
    try:
        headers = SecretDict({"Content-Type": "application/json"})
        block = Webhook(url=WatchSettings(notify=(SecretStr(url),)).notify[0], headers=headers)
        found = automations(await block.asave(BLOCK, overwrite=True))
        async with get_client() as client:
            for automation in found:
                past = await client.read_automations_by_name(automation.name)
                if past:
                    await client.update_automation(past[0].id, automation)
                else:
                    await client.create_automation(automation)
    except (PrefectException, httpx.HTTPError, RuntimeError) as error:
        raise WorkError(f"Prefect: {' '.join(str(error).split())}") from None
    return [automation.name for automation in found]
