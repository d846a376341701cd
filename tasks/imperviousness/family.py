"""The family of imperviousness."""

from __future__ import annotations

from typing import Any

from imperv.tasks.family import Family, ReferenceRaster
from imperv.tasks.imperviousness.eea import EEA
from imperv.tasks.imperviousness.next_years import next_production
from imperv.tasks.imperviousness.nodes.models import is_small
from imperv.tasks.imperviousness.nodes.tasks import TASKS
from imperv.tasks.imperviousness.starting import STARTING_FILE
from imperv.tasks.job import Job


def _report(job: Job) -> str:
    from imperv.tasks.imperviousness.report.tile import write_tile_report  # plotting takes a second to import

    return write_tile_report(job)


def _report_production(*given: Any) -> str:
    from imperv.tasks.imperviousness.report.production import write_production_report

    return write_production_report(*given)


FAMILY = Family(
    name="imperviousness",
    title="Maps of sealed surface: density, built-up, changes, aggregates, confidence",
    method="Algorithm Theoretical Basis Document, HRL Imperviousness 2021",
    method_short="ATBD",
    tasks=TASKS,
    form=EEA,
    stages=("scenes", "features", "references", "models", "change mask", "status", "change"),
    references={
        "IMD_then": ReferenceRaster("imd_then", (254,), "bilinear"),
        "IBU_then": ReferenceRaster("ibu_then", (254,)),
        "CLCP_then": ReferenceRaster("clcplus_then"),
        "CLCP_now": ReferenceRaster("clcplus_now"),
    },
    land=(("CLCP_then", "CLCP_now"), ("IMD_then", "IBU_then")),
    features_first=is_small,
    next_production=next_production,
    compared=(("IMD_then", "IMD_now"), ("IBU_then", "IBU_now")),
    starting_file=STARTING_FILE,
    report=_report,
    report_production=_report_production,
)
