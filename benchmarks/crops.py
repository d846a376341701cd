"""Models of crops on real parcels: macro-F1 and overall accuracy by left-out parcels, the same folds for all, with intervals.

`python -m benchmarks crops`: about ten processor minutes. Writes benchmarks/results/crops.json beside the table.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from imperv.layers.crops.parameters import TrainingParameters
from imperv.layers.crops.scores import compared, cross_validate
from imperv.layers.network.unet import configure_threads
from imperv.layers.statistics.scores import percent_text
from imperv.tasks.crops.samples import Request, check_for_training, read_samples

DATA = Path(__file__).resolve().parents[2] / "shared/data/crops/2023_FRA_LPIS_POLY_110.geoparquet"

LEAST, FOLDS, REPEATS = 10, 5, 2

WAYS = {
    "random forest": TrainingParameters(kind="forest"),
    "random forest, no variants": TrainingParameters(kind="forest", variants=False),
    "boosted trees": TrainingParameters(kind="boosting"),
    "boosted trees, no variants": TrainingParameters(kind="boosting", variants=False),
    "convolutions in time, 3 networks": TrainingParameters(),
    "LSTM of table 10": TrainingParameters(kind="lstm", members=1, variants=False),
    "LSTM, variants": TrainingParameters(kind="lstm", members=1),
    "convolutions in time, 1 network, no variants": TrainingParameters(members=1, variants=False),
}

PEER = "random forest"


def crops_lines(results: Path) -> list[str]:
    """Table of all ways, and their differences to the forest."""
    configure_threads(2)
    series = check_for_training(read_samples(Request(DATA, least=LEAST)), LEAST).series
    found, spent = {}, {}
    for name, parameters in WAYS.items():
        began = time.process_time()
        found |= cross_validate({name: parameters}, series, FOLDS, REPEATS)
        spent[name] = time.process_time() - began
        told, gain = found[name].to_json(), compared(found[name], found[PEER])["f1"]
        said = ", ".join(percent_text(one) for one in (told["f1"], told["oa"], gain))
        print(f"{name}: {said}, {spent[name]:.0f} s", file=sys.stderr, flush=True)
    scores = {name: judged.to_json() for name, judged in found.items()}
    gains = {name: compared(judged, found[PEER]) for name, judged in found.items() if name != PEER}
    results.mkdir(exist_ok=True)
    (results / "crops.json").write_text(json.dumps({"scores": scores, "gains": gains, "seconds": spent}, indent=1))
    lines = [
        f"## Crops: {len(series.labels)} parcels, {len(series.classes)} classes, {FOLDS} folds, {REPEATS} times", "",
        "| model | macro-F1 | overall accuracy | macro-F1 less the forest's | processor s |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, one in scores.items():
        gain = percent_text(gains[name]["f1"]) if name in gains else "–"
        lines.append(f"| {name} | {percent_text(one['f1'])} | {percent_text(one['oa'])} | {gain} | {spent[name]:.0f} |")
    best = "convolutions in time, 3 networks"
    lines += ["", "| class | parcels | forest | convolutions in time |", "|---|---|---|---|"]
    for k, name in enumerate(series.classes):
        count = int((series.labels == k).sum())
        lines.append(
            f"| {name} | {count} | {percent_text(scores[PEER]['classes'][name])} | {percent_text(scores[best]['classes'][name])} |"
        )
    return [*lines, ""]
