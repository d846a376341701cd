"""Small productions and stores that are made with the real store and records, for the tests of what is delivered."""

from datetime import date

import numpy as np

from imperv.grids import Tile, window_geobox
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.delivery.lineage import Lineage, Step
from imperv.tasks.imperviousness.products.facts import EEAProduct
from imperv.tasks.imperviousness.settings import EEADelivery, ImperviousnessProduction
from imperv.tasks.job import utc_now
from imperv.tasks.settings.production import EngineSettings
from imperv.tasks.store.records import Record, digest_of
from imperv.tasks.store.store import with_measured

CORNER = (4300000, 3298000, 4302000, 3300000)

CONTACT = {"organisation": "Söhne & Cie <GmbH>", "email": "maps@example.eu", "website": "https://example.eu/maps?a=1&b=2"}
"""Names with everything that XML must escape."""


def production(store="store", then="2018", now="2021", bbox=CORNER, options=None, **delivery):
    return ImperviousnessProduction(
        tiles=("E43N32",), store=str(store), store_options=options or {}, periods={"then": then, "now": now},
        area={"bbox": bbox} if bbox else None, scenes={"catalogue": "none"},
        engine=EngineSettings(workers=1), delivery=EEADelivery(**delivery),
    )  # fmt: skip


def put(job, symbol, array=None, made=True, reason=""):
    """Make a layer of a job as a task does; without an array, every code of it."""
    layer, place, periods = CATALOGUE[symbol], job.place(symbol), job.production.periods
    grid = job.grid(layer.resolution)
    if array is None:
        codes = [c for c in layer.codes if c >= 50] if symbol in ("IMDCL", "IBUCL") else layer.codes
        array = np.resize(np.array(codes, np.uint8), grid.shape)
    if made:
        with job.store.writing_arrays(place, job.grid(layer.resolution), layer.resolution, layer.variables, {}) as out:
            out[layer.variables[0].name][:] = array
    record = Record(
        symbol, str(job.tile), key=digest_of([symbol, made]), digest=digest_of(array.tolist()), made=made,
        reason=reason, href=place.data if made else "", bbox=job.bounds, windowed=job.windowed, created=utc_now(),
        start=str(periods.then.start), end=str(periods.now.end),
    )  # fmt: skip
    job.store.write_record(place.record, with_measured(record, job.store))
    return array


def product(symbol="IMD_now", counts=None, **settings) -> EEAProduct:
    """A product of which everything is known."""
    layer = CATALOGUE[symbol]
    timing = "S2021" if layer.delivery.timing == "S" else "C2018-2021"
    lineage = Lineage(
        "Made from <many> scenes & maps.",
        ("Sentinel-2 L2A of now: 12 scenes", "CLCplus Backbone, now"),
        (Step("RMSD", "RMSD: deviation of the curves; a < b", "2026-01-02T03:04:05Z"),),
        {"imperv": "0.1.0", "numpy": "2.4.6"},
    )
    return EEAProduct(
        layer=layer,
        tile=Tile("E43N32"),
        name=f"CLMS_HRLNVLCC_{layer.delivery.part}_{timing}_R{layer.resolution}m_E43N32_03035_V01_R00",
        collection="CLMS_HRLNVLCC_2018-2021_V01_R00",
        timing=timing,
        grid=window_geobox(Tile("E43N32"), layer.resolution, CORNER),
        start=date(2021, 1, 1) if timing[0] == "S" else date(2018, 1, 1),
        end=date(2021, 12, 31),
        counts=counts or {0: 30_000, 40: 6_000, 80: 2_000, 255: 2_000},
        created="2026-01-02T03:04:05Z",
        windowed=True,
        lineage=lineage,
        settings=EEADelivery(**settings),
    )
