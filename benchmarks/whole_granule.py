"""`python -m benchmarks whole-granule [FOLDER] [--small] [--to 5]`: `imperv sharpen` of one whole granule, killed once on the way.

A granule of 10 980 x 10 980 pixels is simulated once into FOLDER/granule: a landscape repeated in mirrors, with noise, clouds and a
swath edge that are not repeated. `imperv sharpen` is killed with -9 while it sharpens, then runs to the end; the file is held
against its input in strips. Lines are told as they are found, and kept in FOLDER/measured.jsonl. `--small` does the same on 3.6 km.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate
from shapely.geometry import box, mapping

from benchmarks.watched import watched
from imperv.layers.catalogue.superresolution import SHARP
from imperv.layers.reflectance import REFLECTANCE_10M, SCL
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.scene import SceneModel
from imperv.tasks.projections import transformer
from imperv.tasks.scenes.bands import PIXEL
from imperv.tasks.simulator import Granule, simulate, site_bounds
from imperv.tasks.simulator.archive import profile_of
from imperv.tasks.simulator.fine import write_coastal
from imperv.tasks.simulator.granules import real_granules
from imperv.tasks.superresolution.sharpening import CONSISTENT
from imperv.tasks.superresolution.windows import reflectance, spread_of

TILE = "E42N26"
"""Where the granule lies."""

OVERPASSES = 3
"""A year of the landscape, of which the clearest is taken."""

BLOCK = 1024
"""Edge of the blocks of the granule's files, pixels."""

SWATH = 0.15
"""Share of the columns without data in the first row; none in the last."""

CLOUDY = 0.1
"""Share of the granule under clouds."""

CLOUD = 6500.0
"""Reflectance x 10 000 of opaque cloud."""

BASELINE, OFFSET = "05.00", 1000
"""Processing baseline, and its digital numbers above reflectance x 10 000."""

WRITTEN = 0.02
"""Share of the sharpened pixels, as bytes of the draft, after which the run is killed."""

STRIP = 600
"""Rows of 10 m of a strip that is checked."""


@dataclass(frozen=True)
class Scene:
    """A simulated granule."""

    folder: Path
    granule: Granule

    @property
    def items(self) -> Path:
        """STAC items: one."""
        return self.folder / "items.json"

    def file(self, band: str) -> Path:
        """GeoTIFF of a band."""
        return self.folder / f"{band}.tif"


def main(arguments: Sequence[str]) -> None:
    """Do all of it."""
    small, to = "--small" in arguments, 5 if "5" in arguments else 10
    names = [name for name in arguments if name not in ("--small", "--to", "5", "10")]
    folder = Path(names[0] if names else Path(__file__).parent / "results" / "whole-granule").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    scene = simulated(folder / "granule", *((360, 300) if small else (10_980, 1200)))
    out = folder / f"sharp_{to}.tif"
    rows, columns = (n * 10 // to for n in scene.granule.shape)
    least = WRITTEN * rows * columns * len(SHARP) * 2
    command = [str(Path(sys.executable).with_name("imperv")), "sharpen", str(scene.items), "--to", str(to), "-o", str(out)]
    # The benchmarks of kernels keep libraries to one thread; the command does not.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}

    def halfway(_: float) -> bool:
        if small:  # two blocks end at once: killed as soon as it has a draft
            return any(folder.glob(".*.draft"))
        return sum(file.stat().st_blocks * 512 for file in folder.glob(".*.draft/*.draft")) > least

    def keep(what: str, **more: Any) -> None:
        line = {"what": what, "to": to, **more}
        with (folder / "measured.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(" ".join(f"{k} {v}" for k, v in line.items()), flush=True)

    out.unlink(missing_ok=True)
    for name in ("killed", "whole"):
        (folder / f"{name}.txt").unlink(missing_ok=True)
    killed = watched([*command, "--memory", "8 GiB"], folder / "killed.txt", environment, halfway)
    keep("killed", **asdict(killed), left=sorted(path.name for path in folder.iterdir() if path.name.startswith((".", "sharp"))))
    if killed.code >= 0:
        sys.exit(
            f"whole-granule: the run ended with {killed.code} before it was killed; what it printed is in {folder}/killed.txt"
        )
    whole = watched([*command, "--memory", "8 GiB"], folder / "whole.txt", environment)
    told = next((line for line in (folder / "whole.txt").read_text(encoding="utf-8").splitlines() if "planned" in line), "")
    keep("whole", **asdict(whole), told=told)
    if whole.code:
        sys.exit(f"whole-granule: the run ended with {whole.code}; what it printed is in {folder}/whole.txt")
    keep("left beside", hidden=sorted(path.name for path in folder.iterdir() if path.name.startswith(".")))
    valid, errors, warnings = cog_validate(out)
    keep("file", megabytes=round(out.stat().st_size / 1e6), cog=valid, errors=errors, warnings=warnings)
    strips = list(checked(scene, out, to))
    for number, found in enumerate(strips):
        keep(f"strip {number}", **found)
    if not valid or any(found["lack"] > CONSISTENT or not (found["equal"] and found["data"]) for found in strips):
        sys.exit(f"whole-granule: {out} is not what it should be; see {folder}/measured.jsonl")


def simulated(folder: Path, edge: int, landscape: int) -> Scene:
    """The granule, of `edge` x `edge` pixels of 10 m; made, of a landscape of so many pixels, where it is not there yet."""
    bounds = site_bounds(TILE, landscape)
    if not (folder / "site" / "items.json").exists():
        simulate(folder / "draft", TILE, landscape, overpasses=OVERPASSES)
        write_coastal(folder / "draft")
        (folder / "draft").rename(folder / "site")
    items = json.loads((folder / "site" / "items.json").read_text(encoding="utf-8"))["features"]
    shifted = [item for item in items if item["properties"]["s2:processing_baseline"] == BASELINE]
    clearest = min(shifted, key=lambda item: item["properties"]["eo:cloud_cover"])
    granule = replace(real_granules(bounds)[0], shape=(edge, edge))
    scene = Scene(folder, granule)
    if not scene.items.exists():
        _write(scene, _landscape(folder / "site", clearest), clearest)
    return scene


def _landscape(site: Path, item: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, str]]:
    """Bands of the site by name, digital numbers, cut to a rectangle that all of them show; with the key of their asset."""
    names = {asset["eo:bands"][0]["name"]: key for key, asset in item["assets"].items() if "eo:bands" in asset} | {SCL: "scl"}
    found = {}
    for band, key in names.items():
        with rasterio.open(site / item["assets"][key]["href"]) as file:
            found[band] = file.read(1)
    coarse = found["B01"] > 0
    for band, pixels in found.items():
        each = 60 // PIXEL[band]
        shape = tuple(n // each for n in pixels.shape)
        coarse &= (pixels[: shape[0] * each, : shape[1] * each].reshape(shape[0], each, shape[1], each) > 0).all((1, 3))
    # The site is turned against the granule by the convergence of the projections: corners are cut away.
    rows, columns = np.flatnonzero(coarse.mean(1) > 0.5), np.flatnonzero(coarse.mean(0) > 0.5)
    area = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
    while not (inside := coarse[area[0] : area[1], area[2] : area[3]]).all():
        edges = {0: inside[0], 1: inside[-1], 2: inside[:, 0], 3: inside[:, -1]}
        worst = min(edges, key=lambda k: edges[k].mean())
        area[worst] += -1 if worst % 2 else 1
    return {
        band: (pixels[tuple(slice(area[k] * 60 // PIXEL[band], area[k + 1] * 60 // PIXEL[band]) for k in (0, 2))], names[band])
        for band, pixels in found.items()
    }


def _write(scene: Scene, landscape: Mapping[str, tuple[np.ndarray, str]], item: dict[str, Any]) -> None:
    """Files of all bands, strip by strip, and the item, last."""
    granule, random = scene.granule, np.random.default_rng(5)
    (rows, columns), assets = granule.shape, {}
    cells = cv2.GaussianBlur(random.random((rows // 60 + 2, columns // 60 + 2)).astype("f4"), (0, 0), 4)
    low, high = np.quantile(cells, [1 - CLOUDY, 1 - CLOUDY / 4])
    opacity = ((cells - low) / (high - low)).clip(0, 1)
    for band, (small, key) in landscape.items():
        size = PIXEL[band]
        shape = rows * 10 // size, columns * 10 // size
        profile = profile_of(shape, small.dtype, granule.left, granule.top, size, f"EPSG:{granule.epsg}", 0)
        with rasterio.open(scene.file(band), "w", **{**profile, "blockxsize": BLOCK, "blockysize": BLOCK}) as out:
            for y in range(0, shape[0], BLOCK):
                down = np.arange(y, min(y + BLOCK, shape[0]))
                y60, x60 = np.meshgrid((down + 0.5) * size / 600, (np.arange(shape[1]) + 0.5) * size / 600, indexing="ij")
                cloud = cv2.remap(opacity, x60.astype("f4"), y60.astype("f4"), cv2.INTER_LINEAR)
                pixels = small[np.ix_(_mirrored(down, small.shape[0]), _mirrored(np.arange(shape[1]), small.shape[1]))]
                if band == SCL:
                    pixels = np.where(cloud > 0.3, 9, pixels)
                else:
                    seen = (pixels.astype("f4") - OFFSET) * (1 - cloud) + CLOUD * cloud
                    noise = random.standard_normal(seen.shape, "f4") * (8 + 0.005 * np.abs(seen))
                    pixels = np.clip(np.rint(seen + noise) + OFFSET, 1, 60_000)
                beyond = (np.arange(shape[1]) + 0.5) / shape[1] < SWATH * (1 - (down[:, None] + 0.5) / shape[0])
                pixels = np.where(beyond, 0, pixels).astype(small.dtype)
                out.write(pixels, 1, window=Window(0, y, shape[1], len(down)))
        about = {**item["assets"][key], "href": str(scene.file(band)), "proj:shape": list(shape)}
        assets[key] = about | {"proj:transform": [size, 0, granule.left, 0, -size, granule.top]}
        print(f"simulated {band}", flush=True)
    frame = box(granule.left, granule.top - 10 * rows, granule.left + 10 * columns, granule.top)
    to_degrees = transformer(f"EPSG:{granule.epsg}", "EPSG:4326")
    ring = [to_degrees.transform(*corner) for corner in mapping(frame)["coordinates"][0]]
    bounds = [f(c[k] for c in ring) for f in (min, max) for k in (0, 1)]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    more = {"geometry": geometry, "bbox": bounds, "assets": assets, "links": [], "id": f"S2A_{granule.mgrs}_WHOLE"}
    properties = {**item["properties"], "grid:code": f"MGRS-{granule.mgrs}", "proj:epsg": granule.epsg}
    collection = {"type": "FeatureCollection", "features": [{**item, **more, "properties": properties}]}
    scene.items.write_text(json.dumps(collection), encoding="utf-8")


def _mirrored(numbers: np.ndarray, edge: int) -> np.ndarray:
    """Pixels of a row of mirrors."""
    back = numbers % (2 * edge)
    return np.where(back < edge, back, 2 * edge - 1 - back)


def checked(scene: Scene, out: Path, to: int) -> Iterator[dict[str, Any]]:
    """Strips across the file held against the scene: the worst lack, whether measured bands are equal, and data are where they were."""
    rows, columns = scene.granule.shape
    model, strip = SceneModel({}), min(STRIP, rows)
    margin = 60 if rows > strip else 0  # what degrading sees beyond a strip
    with rasterio.open(out) as file:
        for top in sorted({0, (rows - strip) // 120 * 60, rows - strip}):
            lack, equal, data = {}, True, True
            for number, band in enumerate(SHARP, 1):
                size = PIXEL[band]
                first, last = max(0, top - margin), min(rows, top + strip + margin)
                window = Window(0, first * 10 // to, columns * 10 // to, (last - first) * 10 // to)
                sharp = file.read(number, window=window)
                with rasterio.open(scene.file(band)) as source:
                    there = Window(0, first * 10 // size, columns * 10 // size, (last - first) * 10 // size)
                    stored = source.read(1, window=there).astype(int)
                measured = np.where(stored > 0, np.maximum(stored - OFFSET, 1), 0).astype("u2")
                each = size // to
                inside = slice((top - first) * 10 // size, (top - first + strip) * 10 // size)
                known = (sharp > 0).reshape(len(measured), each, -1, each)
                data &= bool(((measured > 0) == known.all((1, 3))).all() and (known.any((1, 3)) == known.all((1, 3))).all())
                if band in REFLECTANCE_10M and to == 10:
                    equal &= bool((sharp == measured).all())
                again = degrade(reflectance(sharp), each, spread_of(band, to, model)) if each > 1 else reflectance(sharp)
                difference = (again - reflectance(measured))[inside]
                lack[band] = float(np.sqrt(np.nanmean(difference.astype("f8") ** 2)))
            worst = max(lack, key=lambda band: lack[band])
            yield {"rows": f"{top} to {top + strip}", "lack": round(lack[worst], 3), "of": worst, "equal": equal, "data": data}
