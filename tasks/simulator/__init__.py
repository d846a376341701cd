"""Simulator of the chain's whole input: a made-up landscape seen by Sentinel-2 in two years, with references and truth."""

from imperv.tasks.simulator.archive import write_catalogue, write_scenes
from imperv.tasks.simulator.granules import Granule, granules
from imperv.tasks.simulator.landscape import Landscape, build
from imperv.tasks.simulator.many import simulate_many
from imperv.tasks.simulator.mirrored import simulate_mirrored
from imperv.tasks.simulator.references import Truth, truth, write_references, write_truth
from imperv.tasks.simulator.simulation import VERSION, Simulation, simulate, site_bounds, site_landscape

__all__ = [
    "VERSION",
    "Granule",
    "Landscape",
    "Simulation",
    "Truth",
    "build",
    "granules",
    "simulate",
    "simulate_many",
    "simulate_mirrored",
    "site_bounds",
    "site_landscape",
    "truth",
    "write_catalogue",
    "write_references",
    "write_scenes",
    "write_truth",
]
