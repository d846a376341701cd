"""How many false alarms change vectors raise, and what they find, beside IR-MAD and plain differences: `python -m benchmarks change`.

City kits: changes planted between 2018 and 2021, at the same share of false alarms on the ground that did not change, for pairs of one season;
and false alarms at thresholds that know nothing of the truth. Flanders: seven nearly clear real dates, 28 June to 2 August 2018, all 21 pairs.
The OTB's MultivariateAlterationDetector joins in where it is installed. Figures stand in docs/change.md.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from scipy import ndimage, stats

from imperv.layers.cva.noise import Noise, fit_noise
from imperv.layers.cva.threshold import Rate, at_own, beyond, chi_squared, empirical, held_out, rate, student
from imperv.layers.cva.vectors import change_vectors, sample_of
from imperv.tasks.change.comparing import compare, seen_by_both
from imperv.tasks.change.dates import Windows, read_date
from imperv.tasks.change.quiet import calibrate, close_looks, quiet_pairs
from imperv.tasks.native.finding import find_scenes
from imperv.tasks.native.looks import Look, looks_of
from imperv.tasks.native.pixels import place_of
from imperv.tasks.scenes.warping import warp_bands
from tests.support.irmad import irmad

SHARED = Path(__file__).resolve().parents[2] / "shared"
KITS = SHARED / "tools" / "make_city_kit.py"
FLANDERS = SHARED / "data" / "flanders" / "items.json"
SEEDS = {1: (), 2: ("--origin", "420", "180"), 3: ("--origin", "230", "10")}
"""Of kits, with their places in the image."""
BANDS = ("B02", "B03", "B04", "B08")
EDGE = 4.0
"""Pixels around clouds: 40 m."""
SEASON, LEAST_CLEAR, PAIRS = 25, 0.4, 6
"""Most days of the year between the dates of a pair, least share of the site that both show, most pairs of a kit."""
LEVEL, LEVELS = 1e-4, (1e-4, 1e-3, 1e-2)
DRAWS = 1000
CLEAREST = 0.101
"""Percent of cloud of the dates of Flanders that are taken: no more than one pixel of 20 m."""
GONE = 2
"""Pixels around planted changes that are neither changed nor not: registration."""


@dataclass(frozen=True)
class Site:
    looks: dict[dt.date, Look]
    grid: GeoBox
    dates: dict[dt.date, np.ndarray]

    def read(self, day: dt.date) -> np.ndarray:
        if day not in self.dates:
            self.dates[day] = read_date(self.looks[day], BANDS, self.grid, EDGE)
        return self.dates[day]


def site(items: Path, resolution: float = 10) -> Site:
    looks = looks_of(find_scenes(items, bands=(*BANDS, "SCL"), optional=()))
    best: dict[dt.date, Look] = {}
    for look in looks:
        if look.day not in best or len(look.scenes) > len(best[look.day].scenes):
            best[look.day] = look
    places = [place_of(s.bands["B02"], s.id, "B02") for look in best.values() for s in look.scenes]
    left, bottom = (min(p.bounds[k] for p in places) for k in (0, 1))
    right, top = (max(p.bounds[k] for p in places) for k in (2, 3))
    return Site(
        best, GeoBox.from_bbox((left, bottom, right, top), crs=f"EPSG:{places[0].epsg}", resolution=resolution, tight=True), {}
    )


def amplitudes(first: np.ndarray, second: np.ndarray, valid: np.ndarray) -> tuple[dict[str, np.ndarray], Noise]:
    """Squared amplitude of every valid pixel by each method."""
    x, y = first[:, valid].T.astype("f8"), second[:, valid].T.astype("f8")
    noise = fit_noise(sample_of(first, second, valid).thinned(20_000))
    own, _ = change_vectors(first, second, valid, noise, np.eye(len(BANDS))[0].tolist())
    even, _ = change_vectors(first, second, valid, Noise(**{**vars(noise), "registration": 1e-6}), np.eye(len(BANDS))[0].tolist())
    gain = np.sqrt(y.var(0) / x.var(0))
    plain = y - (gain * x + y.mean(0) - gain * x.mean(0))
    whole = np.linalg.inv(np.cov(plain.T))
    scales = np.sqrt(np.diag(noise.covariance))
    difference = y - (np.asarray(noise.gain) * x + np.asarray(noise.offset))
    found = {
        "plain differences, deviation of each band": (((y - x) - (y - x).mean(0)) ** 2 / (y - x).var(0)).sum(1),
        "line and covariance of all pixels": np.einsum("ni,ij,nj->n", plain, whole, plain),
        "IR-MAD (SciPy)": irmad(x, y),
        "change vectors, deviation of each band": ((difference / scales) ** 2).sum(1),
        "change vectors, covariance": even[valid].astype("f8") ** 2,
        "**change vectors, covariance and registration**": own[valid].astype("f8") ** 2,
    }
    if shutil.which("otbcli_MultivariateAlterationDetector"):
        found["MAD (Orfeo ToolBox)"] = otb(first, second, valid)
    return found, noise


def otb(first: np.ndarray, second: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Distance by the OTB's MAD variates, of one round; it knows no clouds, so they get the mean of the clear ground."""
    with tempfile.TemporaryDirectory() as folder:
        for name, date in (("first", first), ("second", second)):
            pixels = np.where(valid, date, date[:, valid].mean(1)[:, None, None]).astype("f4")
            profile = {
                "driver": "GTiff",
                "height": valid.shape[0],
                "width": valid.shape[1],
                "count": len(BANDS),
                "dtype": "float32",
            }
            with rasterio.open(Path(folder) / f"{name}.tif", "w", **profile) as target:
                target.write(pixels)
        command = ["otbcli_MultivariateAlterationDetector", "-in1", "first.tif", "-in2", "second.tif", "-out", "mad.tif", "float"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        with rasterio.open(Path(folder) / "mad.tif") as source:
            variates = source.read()[:, valid].astype("f8")
    return ((variates - variates.mean(1)[:, None]) ** 2 / variates.var(1)[:, None]).sum(0)


# city kits --------------------------------------------------------------------------------------------------------------


def kit_lines(folder: Path, seeds: Sequence[int] = tuple(SEEDS)) -> list[str]:
    recall: dict[str, list[np.ndarray]] = {}
    alarms: dict[str, list[tuple[int, int]]] = {}
    count = 0
    for seed in seeds:
        place = folder / f"kit-{seed}"
        if not (place / "items.json").exists():
            subprocess.run([sys.executable, KITS, place, "--seed", str(seed), *SEEDS[seed]], check=True, stdout=sys.stderr)
        here = site(place / "items.json")
        truth = _truth(place, here.grid)
        near = ndimage.binary_dilation(np.isin(truth, (1, 2)), iterations=GONE)
        for before, after in _pairs(here):
            first, second = here.read(before), here.read(after)
            valid = seen_by_both(first, second) & (truth < 255)
            found, noise = amplitudes(first, second, valid)
            codes, still = truth[valid], ~near[valid]
            for name, distance in found.items():
                cuts = [np.quantile(distance[still], 1 - level) for level in LEVELS]
                recall.setdefault(name, []).append(
                    np.array([[np.mean(distance[codes == k] > cut) for k in (1, 2)] for cut in cuts])
                )
            own = np.sqrt(found["**change vectors, covariance and registration**"])
            thresholds = {"chi-squared": chi_squared(LEVEL, 4), "Student": student(LEVEL, noise)}
            thresholds["quiet pairs"] = _quiet_threshold(here, before, after, noise)
            for name, cut in thresholds.items():
                if np.isfinite(cut):
                    alarms.setdefault(name, []).append((int((own[still] >= cut).sum()), int(still.sum())))
                    alarms.setdefault(f"{name} found", []).append((int((own[codes == 1] >= cut).sum()), int((codes == 1).sum())))
            alarms.setdefault("IR-MAD, chi-squared", []).append(
                (int((found["IR-MAD (SciPy)"][still] >= stats.chi2.isf(LEVEL, 4)).sum()), int(still.sum()))
            )
            count += 1
            print(
                f"kit {seed}  {before} {after}  clear {valid.mean():.2f}  shift {noise.registration**0.5:.2f} px  freedom {noise.freedom:.1f}  "
                f"Student {alarms['Student'][-1]}  quiet {thresholds['quiet pairs']:.1f} {alarms['quiet pairs'][-1] if 'quiet pairs' in alarms else ''}",
                file=sys.stderr,
                flush=True,
            )
    lines = [f"### Planted changes found, {count} pairs of {len(seeds)} city kits", ""]
    lines += ["| method | sealed, 0.01 % false alarms | 0.1 % | 1 % | other changes, 0.01 % | 0.1 % | 1 % |", "|---" * 7 + "|"]
    best = np.array(recall["**change vectors, covariance and registration**"])
    for name, rows in recall.items():
        mean = np.mean(rows, 0)
        lines.append(f"| {name} | {' | '.join(f'{100 * v:.1f} %' for v in (*mean[:, 0], *mean[:, 1]))} |")
    lines += ["", "Change vectors less IR-MAD, with the 95 % interval of a bootstrap over pairs:", ""]
    less = best - np.array(recall["IR-MAD (SciPy)"])
    drawn = np.random.default_rng(1).integers(0, len(less), (DRAWS, len(less)))
    low, high = np.quantile(less[drawn].mean(1), (0.025, 0.975), axis=0)
    lines += ["| | 0.01 % | 0.1 % | 1 % |", "|---|---|---|---|"]
    for k, what in enumerate(("sealed", "other")):
        cells = [f"{100 * less.mean(0)[j, k]:+.1f} ({100 * low[j, k]:+.1f} to {100 * high[j, k]:+.1f})" for j in range(3)]
        lines.append(f"| {what}, points | {' | '.join(cells)} |")
    lines += [
        "",
        "### False alarms on ground that did not change, nominal 0.01 %",
        "",
        "| threshold | false alarms | pair by pair | sealed changes found |",
        "|---|---|---|---|",
    ]
    for name, rows in alarms.items():
        if name.endswith(" found"):
            continue
        shares = [100 * a / b for a, b in rows]
        found_rows = alarms.get(f"{name} found")
        told = f"{100 * np.mean([a / b for a, b in found_rows]):.1f} %" if found_rows else ""
        lines.append(f"| {name} | {np.mean(shares):.4f} % | {min(shares):.4f} to {max(shares):.4f} % | {told} |")
    return [*lines, ""]


def _truth(place: Path, grid: GeoBox) -> np.ndarray:
    with rasterio.open(place / "truth" / "truth_change.tif") as source:
        home = GeoBox(source.shape, source.transform, str(source.crs))
        return warp_bands(source.read(), home, grid, Resampling.nearest, 255)[0]


def _pairs(here: Site) -> list[tuple[dt.date, dt.date]]:
    """Pairs of 2018 and 2021 of one season that show much of the site, the clearest first."""
    found = []
    for before, after in itertools.product(*([d for d in here.looks if d.year == year] for year in (2018, 2021))):
        if abs(before.timetuple().tm_yday - after.timetuple().tm_yday) <= SEASON and 4 <= before.month <= 10:
            clear = seen_by_both(here.read(before), here.read(after)).mean()
            if clear >= LEAST_CLEAR:
                found.append((clear, before, after))
    return [(before, after) for _, before, after in sorted(found, reverse=True)[:PAIRS]]


def _quiet_threshold(here: Site, before: dt.date, after: dt.date, noise: Noise) -> float:
    windows = Windows.of(here.grid)

    def read(look: Look) -> list[np.ndarray]:
        return [here.read(look.day)[(slice(None), *block.slices)] for block in windows.blocks]

    pairs = []
    for day, other in ((before, after), (after, before)):
        pairs += quiet_pairs(close_looks(list(here.looks.values()), day, other, 20), windows, read, 12, {})[0]
    return calibrate(noise, LEVEL, "quiet", pairs).threshold if pairs else float("nan")


# Flanders ---------------------------------------------------------------------------------------------------------------


def flanders_lines() -> list[str]:
    days = [
        f["properties"]["datetime"][:10]
        for f in json.loads(FLANDERS.read_text())["features"]
        if f["properties"]["eo:cloud_cover"] <= CLEAREST
    ]
    chosen = sorted(dt.date.fromisoformat(day) for day in days if "2018-06-28" <= day <= "2018-08-02")
    here = site(FLANDERS)
    windows = Windows.of(here.grid)
    pairs = list(itertools.combinations(chosen, 2))
    made, classic, mads = [], [], []
    for before, after in pairs:
        first, second = here.read(before), here.read(after)
        made.append(
            compare(
                [first[(slice(None), *b.slices)] for b in windows.blocks],
                [second[(slice(None), *b.slices)] for b in windows.blocks],
                windows,
            )
        )
        valid = seen_by_both(first, second)
        x, y = first[:, valid].T.astype("f8"), second[:, valid].T.astype("f8")
        gain = np.sqrt(y.var(0) / x.var(0))
        plain = y - (gain * x + y.mean(0) - gain * x.mean(0))
        classic.append(np.mean(np.einsum("ni,ij,nj->n", plain, np.linalg.inv(np.cov(plain.T)), plain) > stats.chi2.isf(LEVEL, 4)))
        mads.append(np.mean(irmad(x, y) > stats.chi2.isf(LEVEL, 4)))
    names = [(str(a), str(b)) for a, b in pairs]
    counts = np.stack([one.counts for one in made])
    quiet = [(names[k], made[k]) for k, (a, b) in enumerate(pairs) if (b - a).days <= 12]
    chi = at_own(counts, [chi_squared(LEVEL, 4) / one.noise.body for one in made])
    own = at_own(counts, [student(LEVEL, one.noise) / one.noise.body for one in made])
    strict, how = held_out(counts, names, LEVEL, 4)
    loose = _leave_one_pair_out(counts)
    short, how_short = held_out(np.stack([m.counts for _, m in quiet]), [n for n, _ in quiet], LEVEL, 4)
    lines = [
        f"### False alarms of {len(pairs)} pairs of {len(chosen)} real dates ({', '.join(str(d)[5:] for d in chosen)}), nominal 0.01 %",
        "",
    ]
    lines += [
        f"{int(counts.sum())} pixels in all; 0.01 % of them are {counts.sum() * LEVEL:.1f}.",
        "",
        "| threshold | measured | 95 % interval | pixels | times nominal |",
        "|---|---|---|---|---|",
    ]
    lines.append(f"| IR-MAD, chi-squared | {100 * np.mean(mads):.1f} % | | | {np.mean(mads) / LEVEL:.0f} |")
    lines.append(
        f"| statistics of all pixels, chi-squared | {100 * np.mean(classic):.2f} % | | | {np.mean(classic) / LEVEL:.0f} |"
    )
    for name, one in (
        ("robust noise, chi-squared", chi),
        ("robust noise, Student", own),
        ("quiet pairs, each pair left out", loose),
        (f"quiet pairs, {how}", strict),
        (f"the {len(quiet)} pairs of at most 12 days, {how_short}", short),
    ):
        lines.append(
            f"| {name} | {100 * one.value:.4f} % | {100 * one.low:.4f} to {100 * one.high:.4f} % | {one.found} | {one.value / LEVEL:.2f} |"
        )
    return [*lines, ""]


def _leave_one_pair_out(counts: np.ndarray) -> Rate:
    found = np.zeros(counts.shape[:2], "i8")
    for number in range(len(counts)):
        others = [k for k in range(len(counts)) if k != number]
        cut = empirical(counts[others].sum((0, 1)), LEVEL, 4)
        found[number] = beyond(counts[number], cut)
    return rate(found.sum(0), counts.sum((0, 2)))


def change_lines(folder: Path) -> list[str]:
    """Markdown of all tables; kits are kept in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["## Change", ""]
    if FLANDERS.exists():
        lines += flanders_lines()
    if KITS.exists():
        lines += kit_lines(folder)
    return lines
