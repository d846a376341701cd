"""`python -m benchmarks.landsat CACHE --train KIT ... --held-out KIT ... [--part ...]`: figures of docs/landsat.md.

Kits are made by `make_fine_kit.py` beside the test data, with Landsat of 2021 and 2005, the held-out ones on other ground. Parts:
`lines` (harmonisation), `composites` (at 30 m), `sharpening` (error at 10 m), `ridge`, `network` (trains both networks first), `map`
(built-up of 2005 by a model of 2021). What takes long is kept in CACHE.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

from imperv.grids import Block
from imperv.layers.features import QUANTILE_BANDS
from imperv.layers.harmonisation import Harmonisation, harmonise
from imperv.layers.landsat import BANDS, SENTINEL2
from imperv.layers.network.baselines import BOOSTING, PIXELS, fit_baseline
from imperv.layers.sharpening.composite_network import NetworkParameters, Pair, train
from imperv.layers.sharpening.composites import FACTOR, as_landsat, half_pixel, plain, spread_of_sensor
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.regression import detail, neighbourhood
from imperv.tasks.landsat.metrics import Metrics
from imperv.tasks.landsat.reading import landsat_geobox
from imperv.tasks.landsat.scenes import select_landsat
from imperv.tasks.landsat.sharpening import Sharpened, fine_geobox, register
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.scenes import select_scenes
from imperv.tasks.settings.periods import Period
from imperv.tasks.yearly.features import yearly_features
from imperv.tasks.yearly.looks import Looks

SENSORS = {2021: "oli", 2005: "etm+"}
MEDIAN, LOW = 0.5, 0.2
WORLD = (-180, -90, 180, 90)
EDGE = 4
"""Fine pixels at the edge of a kit that are not scored."""
SEALED = (2, 6)
"""Classes of the kit's truth: buildings, other impervious ground."""


class Kits:
    """Composites of kits, each computed once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def kept(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """An array of the cache."""
        path = self.folder / f"{name}.npy"
        if not path.exists():
            np.save(path, make())
        return np.load(path)

    def metrics(self, kit: Path, year: int, q: float) -> Metrics:
        """Of the year on the grid that covers the kit."""
        period = Period.parse(year)
        scenes = select_landsat(ItemFiles(kit / "landsat").search(WORLD, period))
        with rasterio.open(kit / "truth" / f"truth_composite_10m_{year}.tif") as source:
            grid = landsat_geobox(source.bounds, str(source.crs))
        return Metrics(scenes.groups, grid, period, (q,))

    def coarse(self, kit: Path, year: int, q: float) -> np.ndarray:
        """Composite at 30 m, as measured."""

        def make() -> np.ndarray:
            metrics = self.metrics(kit, year, q)
            return metrics(Block(0, 0, *metrics.grid.shape))[0][0].astype("f4")

        return self.kept(f"{kit.name}-{year}-{q}-30m", make)

    def sharp(self, kit: Path, year: int, q: float) -> np.ndarray:
        """Composite at 10 m with the detail of the dates, on the scale of the sensor."""

        def make() -> np.ndarray:
            metrics, start = self.metrics(kit, year, q), time.monotonic()
            dates = register(metrics)
            image = Sharpened(metrics, dates, {})(Block(0, 0, *metrics.grid.shape))[0][0]
            print(f"{kit.name} {year}: {len(dates)} dates, {time.monotonic() - start:.0f} s", flush=True)
            return image

        return self.kept(f"{kit.name}-{year}-{q}-10m", make)

    def truth(self, kit: Path, year: int) -> np.ndarray:
        """Median at 10 m as Sentinel-2 would see it, on the pixels of `fine_geobox`."""
        return on_fine(kit, f"truth_composite_10m_{year}.tif", fine_geobox(self.metrics(kit, year, MEDIAN).grid))

    def sentinel2(self, kit: Path) -> np.ndarray:
        """20 % quantiles of Sentinel-2 in the bands of Landsat, as the chain makes them, on the pixels of `fine_geobox`."""

        def make() -> np.ndarray:
            fine = fine_geobox(self.metrics(kit, 2021, LOW).grid)
            rows, columns = (n + 2 + n % 2 for n in fine.shape)
            even = GeoBox((rows, columns), fine.affine * fine.affine.translation(-1, -1), fine.crs)
            looks = Looks.of(select_scenes(ItemFiles(kit).search(WORLD, Period.parse(2021))))
            found = yearly_features(looks, even, 1)["quantiles"][[QUANTILE_BANDS.index(SENTINEL2[b]) for b in BANDS]]
            return found[:, 1 : fine.shape[0] + 1, 1 : fine.shape[1] + 1].astype("f4")

        found = self.kept(f"{kit.name}-sentinel2", make)
        return np.where(found == 0, np.float32(np.nan), found)

    def lines(self, train_on: list[Path], year: int, q: float) -> Harmonisation:
        """Landsat of a year brought to Sentinel-2 of 2021, on the training ground of all kits."""
        own, other = [], []
        for kit in train_on:
            reference = self.truth(kit, 2021) if q == MEDIAN else self.sentinel2(kit)
            own.append(self.coarse(kit, year, q)[:, 2:-2, 2:-2].reshape(len(BANDS), -1))
            other.append(as_landsat(reference, spread_of_sensor(SENSORS[year]))[:, 2:-2, 2:-2].reshape(len(BANDS), -1))
        values, reference = np.concatenate(own, 1), np.concatenate(other, 1)
        return harmonise(values, reference, BANDS, SENSORS[year], "msi", f"{year} and 2021")


def on_fine(kit: Path, name: str, fine: GeoBox) -> np.ndarray:
    """A raster of the kit's truth at 10 m on other pixels of the same grid, its edge repeated."""
    with rasterio.open(kit / "truth" / name) as source:
        values, left, top = source.read().astype("f4"), source.bounds.left, source.bounds.top
    y, x = round((fine.affine.f - top) / 10), round((left - fine.affine.c) / 10)
    rows, columns = fine.shape
    return np.pad(values, [(0, 0), (y, rows - y - values.shape[1]), (x, columns - x - values.shape[2])], mode="edge")


def rmse(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of each band, reflectance x 10 000."""
    inside = np.s_[:, EDGE:-EDGE, EDGE:-EDGE]
    return np.sqrt(((image - truth)[inside] ** 2).mean((1, 2)))


def words(values: np.ndarray, digits: int = 1) -> str:
    """Numbers in a row."""
    return " ".join(f"{v:.{digits}f}" for v in values)


def show_lines(kits: Kits, train_on: list[Path]) -> None:
    """Fitted gains times those that the kit applied, which should be 1, and what is off at the median."""
    for year, sensor in SENSORS.items():
        facts = json.loads((train_on[0] / "truth" / "landsat.json").read_text())[str(year)]
        found = kits.lines(train_on, year, MEDIAN)
        level = np.median(np.concatenate([kits.truth(k, 2021).reshape(len(BANDS), -1) for k in train_on], 1), 1)
        gain, offset = np.array(facts["gain"]), 1e4 * np.array(facts["offset"])
        fitted = np.array([(found.lines[b].gain, found.lines[b].offset) for b in BANDS]).T
        error = fitted[0] * (gain * level + offset) + fitted[1] - level
        print(f"{sensor} {year}: gain x true gain {words(fitted[0] * gain, 3)}; error at the median {words(error)}")


def show_composites(kits: Kits, train_on: list[Path]) -> None:
    """Error of the median at 30 m on the scale of the kit, looks weighted by their days or all alike."""
    for year, sensor in SENSORS.items():
        for days in (True, False):
            errors = []
            for kit in train_on:
                facts = json.loads((kit / "truth" / "landsat.json").read_text())[str(year)]
                metrics = kits.metrics(kit, year, MEDIAN)
                metrics = metrics if days else replace(metrics, period=None)
                gain, offset = (np.array(facts[part])[:, None, None] for part in ("gain", "offset"))
                found = (metrics(Block(0, 0, *metrics.grid.shape))[0][0] - 1e4 * offset) / gain
                errors.append(rmse(found, as_landsat(kits.truth(kit, year), spread_of_sensor(sensor))))
            print(f"{sensor} {year}, median of {'days' if days else 'looks'}: {words(np.mean(errors, 0))}")


@cache
def starts(kits: Kits, train_on: tuple[Path, ...], kit: Path, year: int) -> dict[str, np.ndarray]:
    """Composites at 10 m on the scale of Sentinel-2 by each way without a network."""
    lines, sigma = kits.lines(list(train_on), year, MEDIAN), spread_of_sensor(SENSORS[year])
    coarse = lines.apply(kits.coarse(kit, year, MEDIAN), BANDS)
    return {
        "cubic": plain(coarse, sigma, 0),
        "lanczos": half_pixel(enlarge(coarse, FACTOR, "lanczos")),
        "cubic, back-projected": plain(coarse, sigma, 5),
        "dates": lines.apply(kits.sharp(kit, year, MEDIAN), BANDS),
        "coarse": coarse,
    }


def show_sharpening(kits: Kits, train_on: list[Path], held_out: list[Path]) -> None:
    """Error of each way, and its ratio to cubic interpolation with back-projection."""
    for year in SENSORS:
        sums: dict[str, list[np.ndarray]] = {}
        for kit in held_out:
            for name, image in starts(kits, tuple(train_on), kit, year).items():
                if name != "coarse":
                    sums.setdefault(name, []).append(rmse(image, kits.truth(kit, year)))
        report(year, sums)


def report(year: int, sums: dict[str, list[np.ndarray]]) -> None:
    """One line a way: mean error of the bands, ratio over all kits, ratio in each kit."""
    base = np.array(sums["cubic, back-projected"])
    for name, found in sums.items():
        own = np.array(found)
        ratios = words(own.mean(1) / base.mean(1), 3)
        print(f"{year} {name}: {words(own.mean(0))}; mean {own.mean():.1f}; {own.mean() / base.mean():.3f} (kits {ratios})")


def show_ridge(kits: Kits, train_on: list[Path], held_out: list[Path]) -> None:
    """Ridge regression of what back-projection lacks on 5 x 5 coarse pixels: of pairs at 10 m, and an octave lower on itself."""
    sigma = spread_of_sensor("oli")

    def sums(coarse: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = around(coarse)
        y = unshuffled(detail(target - plain(coarse, sigma, 5), FACTOR, sigma))
        known = np.isfinite(x).all(0) & np.isfinite(y).all(0)
        return x[:, known].astype("f8") @ x[:, known].T, x[:, known].astype("f8") @ y[:, known].T

    def solved(square: np.ndarray, cross: np.ndarray) -> np.ndarray:
        return np.linalg.solve(square + 0.1 * np.trace(square) / len(square) * np.eye(len(square)), cross)

    pairs = [sums(starts(kits, tuple(train_on), k, 2021)["coarse"], kits.truth(k, 2021)) for k in train_on]
    learned = solved(*(np.sum(part, 0) for part in zip(*pairs, strict=True)))
    found: dict[str, list[np.ndarray]] = {}
    for kit in held_out:
        own, truth = starts(kits, tuple(train_on), kit, 2021), kits.truth(kit, 2021)
        coarse = own["coarse"]
        rows, columns = (FACTOR * (side // FACTOR) for side in coarse.shape[1:])
        lower = solved(*sums(as_landsat(coarse[:, :rows, :columns], spread_of_sensor("oli")), coarse[:, :rows, :columns]))
        images = {"cubic, back-projected": own["cubic, back-projected"]}
        for name, table in (("ridge from pairs", learned), ("ridge an octave lower", lower)):
            told = np.einsum("fb,fyx->byx", table, around(coarse)).astype("f4")
            told = told.reshape(len(BANDS), FACTOR, FACTOR, *coarse.shape[1:]).transpose(0, 3, 1, 4, 2).reshape(truth.shape)
            images[name] = images["cubic, back-projected"] + told
        for name, image in images.items():
            found.setdefault(name, []).append(rmse(image, truth))
    report(2021, found)


def around(coarse: np.ndarray) -> np.ndarray:
    """(feature, y, x): differences of 5 x 5 coarse pixels to the middle one."""
    return neighbourhood(coarse, 2) - np.tile(coarse, (25, 1, 1))


def unshuffled(image: np.ndarray) -> np.ndarray:
    """(band, 3 y, 3 x) as (9 band, y, x)."""
    bands, rows, columns = image.shape
    blocks = image.reshape(bands, rows // FACTOR, FACTOR, columns // FACTOR, FACTOR).transpose(0, 2, 4, 1, 3)
    return blocks.reshape(-1, rows // FACTOR, columns // FACTOR)


def show_networks(kits: Kits, train_on: list[Path], held_out: list[Path], steps: int) -> None:
    """Both networks, trained on 2021, that correct the composites made from dates."""
    from imperv.layers.network.unet import configure_threads

    configure_threads(1)
    found = {k: starts(kits, tuple(train_on), k, 2021) for k in train_on}
    pairs = [Pair(f["coarse"], f["dates"], kits.truth(k, 2021)) for k, f in found.items()]
    models = {}
    for name, weight in (("network", 0.0), ("adversarial", 1e-2)):
        start = time.monotonic()
        models[name] = train(pairs, NetworkParameters(steps=steps, adversarial=weight), spread_of_sensor("oli"))
        models[name].save(kits.folder / f"{name}.npz")
        print(f"{name}: {models[name].weights.size} weights, {time.monotonic() - start:.0f} s", flush=True)
    for year in SENSORS:
        sums: dict[str, list[np.ndarray]] = {}
        for kit in held_out:
            own, truth = starts(kits, tuple(train_on), kit, year), kits.truth(kit, year)
            images = {name: own[name] for name in ("cubic, back-projected", "dates")}
            images |= {f"dates, {name}": model.correct(own["coarse"], own["dates"]) for name, model in models.items()}
            for name, image in images.items():
                sums.setdefault(name, []).append(rmse(image, truth))
        report(year, sums)


def show_map(kits: Kits, train_on: list[Path], held_out: list[Path]) -> None:
    """F1 of built-up ground of 2005: boosted trees that learned from Sentinel-2 of 2021 see Landsat, sharpened in each way."""
    x = [features(kits.sentinel2(k)) for k in train_on]
    y = [sealed(kits, k, 2021) for k in train_on]
    x_all, y_all = np.concatenate(x), np.concatenate([v.ravel() for v in y])
    x_all, y_all = x_all[(x_all[:, : len(BANDS)] > 0).all(1)], y_all[(x_all[:, : len(BANDS)] > 0).all(1)]
    chosen = np.random.default_rng(1).choice(len(x_all), min(PIXELS, len(x_all)), replace=False)
    model = fit_baseline(BOOSTING, x_all[chosen], y_all[chosen].astype("f4"))
    lines, sigma = kits.lines(train_on, 2005, LOW), spread_of_sensor(SENSORS[2005])
    truth, maps = [], dict[str, list[np.ndarray]]()
    for kit in held_out:
        coarse = lines.apply(kits.coarse(kit, 2005, LOW), BANDS)
        images = {
            "nearest": half_pixel(enlarge(coarse, FACTOR, "nearest")),
            "cubic": plain(coarse, sigma, 0),
            "cubic, back-projected": plain(coarse, sigma, 5),
            "dates": lines.apply(kits.sharp(kit, 2005, LOW), BANDS),
        }
        inside = np.s_[EDGE:-EDGE, EDGE:-EDGE]
        truth.append(sealed(kits, kit, 2005)[inside].ravel() >= 0.5)
        for name, image in images.items():
            density = model(features(image)).reshape(image.shape[1:])
            maps.setdefault(name, []).append(density[inside].ravel())
    for name, found in maps.items():
        parts = [f1(a >= 0.5, b) for a, b in zip(found, truth, strict=True)]
        whole = f1(np.concatenate(found) >= 0.5, np.concatenate(truth))
        print(f"built-up of 2005, {name}: F1 {whole:.3f} (kits {words(np.array(parts), 3)})")


def features(image: np.ndarray) -> np.ndarray:
    """(pixel, band) reflectance and the normalised differences of near infrared, red and short-wave infrared."""
    flat = np.nan_to_num(image.reshape(len(image), -1)).astype("f4")
    red, nir, swir = flat[2], flat[3], flat[4]
    more = [(nir - red) / np.maximum(nir + red, 1), (swir - nir) / np.maximum(swir + nir, 1)]
    return np.ascontiguousarray(np.concatenate([flat, more]).T)


def sealed(kits: Kits, kit: Path, year: int) -> np.ndarray:
    """Share of each fine pixel that is sealed, by the truth at 5 m."""
    name = "truth_landcover.tif" if year == 2021 else f"truth_landcover_{year}.tif"
    with rasterio.open(kit / "truth" / name) as source:
        cover = np.isin(source.read(1), SEALED).astype("f4")
    mean = cover.reshape(cover.shape[0] // 2, 2, cover.shape[1] // 2, 2).mean((1, 3))
    rows, columns = fine_geobox(kits.metrics(kit, year, MEDIAN).grid).shape
    return np.pad(mean, [(1, rows - 1 - mean.shape[0]), (1, columns - 1 - mean.shape[1])], mode="edge")


def f1(mapped: np.ndarray, truth: np.ndarray) -> float:
    """Harmonic mean of user's and producer's accuracy."""
    return float(2 * (mapped & truth).sum() / (mapped.sum() + truth.sum()))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.landsat", description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--train", type=Path, nargs="+", required=True, metavar="KIT")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, metavar="KIT")
    parser.add_argument(
        "--part",
        nargs="+",
        default=["lines", "composites", "sharpening", "ridge", "map"],
        help="parts (default: all but network)",
    )
    parser.add_argument("--steps", type=int, default=1200, help="training steps of each network (default 1200)")
    args = parser.parse_args()
    kits = Kits(args.cache)
    if "lines" in args.part:
        show_lines(kits, args.train)
    if "composites" in args.part:
        show_composites(kits, args.train)
    if "sharpening" in args.part:
        show_sharpening(kits, args.train, args.held_out)
    if "ridge" in args.part:
        show_ridge(kits, args.train, args.held_out)
    if "map" in args.part:
        show_map(kits, args.train, args.held_out)
    if "network" in args.part:
        show_networks(kits, args.train, args.held_out, args.steps)


if __name__ == "__main__":
    main()
