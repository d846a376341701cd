"""`python -m benchmarks.sharpening_dates_figures KITS [--model FILE]`: bands at 5 m from one date and from eight, against their truth.

On simulated sites in the east of the image that the network of several dates was not trained on; KITS is a folder for them. Errors are
shares of that of bicubic interpolation with back-projection, the mean over four bands; widths are of straight edges, from 10 to 90 %. In the
end the network of one date is judged on bands that are degraded from the truth without noise, as its training's are.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from benchmarks.sharpening_dates import SIGMA, made, moved
from imperv.layers.network.unet import configure_threads
from imperv.layers.sharpening.back_projection import back_project, residual
from imperv.layers.sharpening.date_network import DateModel, load, shipped
from imperv.layers.sharpening.dates import fuse
from imperv.layers.sharpening.degradation import PLAIN, degrade
from imperv.layers.sharpening.edges import edge_widths, find_edges
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.measures import comparison_scores, comparison_sums, opensr_scores, opensr_sums
from imperv.layers.sharpening.network import Model
from imperv.layers.sharpening.network import shipped as shipped_network
from imperv.layers.sharpening.registration import shift_between
from imperv.layers.statistics.scores import differences, estimates

SITES = [
    (400, 520, 0, ("2021-06", "2021-07"), 12, 2),
    (400, 520, 300, ("2021-07", "2021-08"), 10, 5),
    (400, 520, 0, ("2021-06", "2021-07"), 16, 21),
]
"""As of `sharpening_dates.made`."""

ONE_DATE = [
    (256, 520, 40, ("2021-06", "2021-07"), 8, 11),
    (256, 700, 260, ("2021-06", "2021-08"), 8, 12),
    (256, 560, 520, ("2021-07", "2021-08"), 8, 13),
]
"""Sites of the network of one date, which has learnt from no simulated one."""

OTHERS = 7
BANDS = ("B02", "B03", "B04", "B08")
CONSISTENT = 2.0
"""Residual of every band, reflectance x 10 000, down to which images are back-projected: further rounds only add noise."""

ROUNDS = 10
"""Of back-projection, without noise."""

EDGE = 16
"""Pixels at the border that do not count."""


def consistent(image: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Each band back-projected until it is within `CONSISTENT` of what was measured."""
    image = image.copy()
    while (far := residual(image, bands, 2, SIGMA) > CONSISTENT).any():
        image[far] = back_project(image[far], bands[far], 2, SIGMA, 1)
    return image


def candidates(folder: Path, model: DateModel | None) -> Iterator[tuple[str, np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
    """Of each reference date: its day, the measured bands, the truth, NaN where it is not clear, and images by method."""
    from tests.support.fine import dates_of

    dates = dates_of(folder)
    for reference in (d for d in dates if d.clear.mean() > 0.4):
        if reference.truth is None:
            continue
        bands, masks = reference.bands, [reference.clear]
        others, shifts = list[np.ndarray](), list[tuple[float, float]]()
        for other in sorted((d for d in dates if d is not reference), key=lambda d: -(d.clear & reference.clear).mean()):
            found = shift_between(bands, other.bands, reference.clear & other.clear)
            if np.isfinite(found.error) and len(others) < OTHERS:
                others.append(other.bands)
                shifts.append(found.shift)
                masks.append(other.clear)
        plain = enlarge(bands, 2)
        images = {
            "bicubic": plain,
            "bicubic, back-projected": consistent(plain, bands),
            "one date, network": consistent(_by_one_date(bands, SIGMA), bands),
            "one date, fused": consistent(fuse(bands, [], [], 2, SIGMA, masks[:1], rounds=0)[0], bands),
            f"{len(others) + 1} dates, fused": consistent(fuse(bands, others, shifts, 2, SIGMA, masks, rounds=0)[0], bands),
        }
        if model is not None:
            free, _ = model.predict(bands, others, shifts, SIGMA, masks)
            images |= {f"{len(others) + 1} dates, network": consistent(free, bands)}
            images |= {f"{len(others) + 1} dates, network, {n} rounds": back_project(free, bands, 2, SIGMA, n) for n in (0, 2, 5)}
        truth = moved(reference.truth, *(2 * s for s in reference.shift))
        clear = cv2.erode(
            reference.clear.astype(np.uint8), np.ones((9, 9), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        truth[:, np.kron(clear, np.ones((2, 2), np.uint8)) == 0] = np.nan
        truth[:, :EDGE], truth[:, -EDGE:], truth[..., :EDGE], truth[..., -EDGE:] = np.nan, np.nan, np.nan, np.nan
        yield reference.day, bands, truth, images


@cache
def _network_of_one_date() -> Model:
    found = shipped_network("10to5")
    assert found is not None
    return found


def _by_one_date(bands: np.ndarray, sigma: float) -> np.ndarray:
    none = np.empty((0, *(2 * n for n in bands.shape[1:])), np.float32)
    return _network_of_one_date().predict(none, bands, sigma)[0]


def without_noise(folder: Path) -> Iterator[tuple[str, float]]:
    """Day and error of the network of one date, of bands that are the truth, degraded; all pixels count but the border."""
    from tests.support.fine import dates_of

    inner, sigma = np.s_[:, EDGE:-EDGE, EDGE:-EDGE], 2 * PLAIN
    for date in (d for d in dates_of(folder) if d.truth is not None):
        bands = degrade(date.truth, 2, sigma)
        plain, sharp = (back_project(image, bands, 2, sigma, ROUNDS) for image in (enlarge(bands, 2), _by_one_date(bands, sigma)))
        base, left = (np.sqrt(((image - date.truth)[inner].astype("f8") ** 2).mean((1, 2))) for image in (plain, sharp))
        yield date.day, float((left / base).mean())


def main() -> None:
    """Print a table for each reference date."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharpening_dates_figures", description=__doc__)
    parser.add_argument("kits", type=Path)
    parser.add_argument("--model", type=Path, help="of several dates; that of the package where none is given")
    options = parser.parse_args()
    configure_threads(1)
    model = load(options.model) if options.model else shipped()
    scores, all_dates = comparison_scores(BANDS, 2), defaultdict[str, list[tuple[float, float]]](list)
    for site in SITES:
        folder = made(options.kits, *site)
        for day, bands, truth, images in candidates(folder, model):
            edges = find_edges(truth)
            sums = {name: comparison_sums(image, truth) for name, image in images.items()}
            widths = {name: edge_widths(image, edges) for name, image in images.items()}
            found = {name: estimates([s], scores) for name, s in sums.items()}
            base = found["bicubic, back-projected"]
            print(f"\n{folder.name} {day}: truth's edges {np.nanmean(edge_widths(truth, edges)):.2f} px in {len(edges)} places")
            print(
                "| method | error | of bands | less than bicubic by | edges | residual | SAM | improved, omitted, hallucinated |"
            )
            print("|---|---|---|---|---|---|---|---|")
            for name, image in images.items():
                shares = [found[name][f"rmse.{b}"].value / base[f"rmse.{b}"].value for b in BANDS]
                gain = differences([sums["bicubic, back-projected"]], [sums[name]], scores)["rmse"]
                both = np.isfinite(widths[name]) & np.isfinite(widths["bicubic"])
                wide = widths[name][both].mean() / widths["bicubic"][both].mean()
                all_dates[name.split(" dates, ")[-1]].append((float(np.mean(shares)), wide))
                kinds = opensr_scores(opensr_sums(bands, image, truth, 2, SIGMA).sum(0))
                parts = ", ".join(f"{kinds[k]:.2f}" for k in ("improvement", "omission", "hallucination"))
                each = " ".join(f"{s:.3f}" for s in shares)
                print(
                    f"| {name} | {np.mean(shares):.3f} | {each} | {gain.value:.1f} ({gain.low:.1f} to {gain.high:.1f}) | {wide:.2f} "
                    f"| {residual(image, bands, 2, SIGMA).max():.1f} | {found[name]['sam'].value:.2f} | {parts} |",
                    flush=True,
                )
    print("\nMeans over all reference dates\n| method | error | edges | dates |\n|---|---|---|---|")
    for name, values in all_dates.items():
        error, wide = np.mean(values, 0)
        print(f"| {name} | {error:.3f} | {wide:.2f} | {len(values)} |")
    print("\nOne date, network, without noise\n| site | day | error |\n|---|---|---|")
    shares = []
    for folder in (made(options.kits, *site) for site in ONE_DATE):
        for day, share in without_noise(folder):
            shares.append(share)
            print(f"| {folder.name} | {day} | {share:.3f} |", flush=True)
    print(f"| mean | {len(shares)} | {np.mean(shares):.3f} |")


if __name__ == "__main__":
    main()
