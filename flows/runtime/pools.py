"""The work pool of a production: whether it can run anything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pool:
    """State of a work pool."""

    name: str
    workers: int
    """Workers that the server calls online."""
    paused: bool
    why: str
    """Why nothing can run, with the remedy, or empty."""


async def pool_of(deployment: str) -> Pool | None:
    """Work pool of a deployment, None without one; errors are those of Prefect's client."""
    from prefect import get_client
    from prefect.client.schemas.objects import WorkerStatus

    async with get_client() as client:
        found = await client.read_deployment_by_name(deployment)
        if not found.work_pool_name:
            return None
        pool = await client.read_work_pool(found.work_pool_name)
        name, paused, why = pool.name, pool.is_paused, ""
        workers = await client.read_workers_for_work_pool(name)
        online = sum(worker.status == WorkerStatus.ONLINE for worker in workers)
        if paused:
            why = f"work pool {name} is paused; prefect work-pool resume {name}"
        elif pool.concurrency_limit == 0:
            why = f"work pool {name} may run 0 at once; prefect work-pool set-concurrency-limit {name} N"
        elif (queue := found.work_queue_name) and (await client.read_work_queue_by_name(queue, name)).is_paused:
            paused = True
            why = f"queue {queue} of work pool {name} is paused; prefect work-queue resume {queue} --pool {name}"
        elif not online:
            why = f"no worker serves work pool {name}; imperv worker --pool {name}"
        return Pool(name, online, paused, why)
