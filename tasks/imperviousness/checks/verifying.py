"""Verification of delivered files, ours and others': each file alone, against other layers, and at the edges of tiles."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.delivery.delivery import places_of
from imperv.tasks.errors import InputError
from imperv.tasks.family.findings import Finding, failed, passed
from imperv.tasks.imperviousness.checks.consistency import RELATIONS, Source, compare
from imperv.tasks.imperviousness.checks.delivery_check import (
    TIFFS,
    check_file,
    check_paths,
    covers_a_window,
    find_debris,
    record_beside,
)
from imperv.tasks.imperviousness.checks.layer_sources import SYMBOLS, THEN, Bounds, file_source, job_sources, reference_sources
from imperv.tasks.imperviousness.checks.metadata import check_metadata
from imperv.tasks.imperviousness.checks.seams import DEPTH, Seam, seam
from imperv.tasks.imperviousness.products.names import edition_years, theme_of
from imperv.tasks.imperviousness.products.packages import compare_package, unpack
from imperv.tasks.imperviousness.products.rules import OUTSIDE, Named, check_name
from imperv.tasks.job import Job
from imperv.tasks.nodes import input_versions
from imperv.tasks.store.records import Record

FORM_RULES = frozenset({"naming", "readable", "epsg", "pixel_size", "origin", "extent", "bands", "bit_depth", "value"})
"""A file that breaks one of these is not compared with others."""

MASK_NAME = "mask_{ident}_{pixel:03d}m_{tile}.tif"
"""Boundary masks of the EEA's gap check."""


@dataclass
class Checked:
    """One file, its parsed name, and its findings."""

    label: str
    """Name in reports: its path, for files in a zip after that of the zip."""
    path: Path
    named: Named | None
    findings: list[Finding]
    bounds: Bounds = (0, 0, 0, 0)
    record: Record | None = None
    """The record beside it, with the years that it describes, whatever its name says."""

    @property
    def ok(self) -> bool:
        """True where no rule is broken."""
        return all(finding.ok for finding in self.findings)

    @property
    def comparable(self) -> bool:
        """True where the file can be held against others."""
        return self.named is not None and not any(not f.ok and f.check in FORM_RULES for f in self.findings)


@dataclass(frozen=True)
class Request:
    """Options of a verification."""

    window: bool = False
    """True where files may cover windows whatever their records say."""
    then: Mapping[str, Path] = field(default_factory=dict)
    """Rasters of the previous production, by ``IMD_then`` and ``IBU_then``."""
    masks: Path | None = None
    """Folder of the EEA's boundary masks, for the gap check."""
    jobs: Sequence[Job] = ()
    """Tiles of a production whose store explains the files."""
    passed_over: Mapping[Path, Finding] = field(default_factory=dict)
    """Files that are listed and not checked, with the reason."""


def verify(paths: Iterable[str | Path], request: Request | None = None) -> dict[str, list[Finding]]:
    """Verify delivered files.

    Parameters
    ----------
    paths : iterable of str or Path
        GeoTIFFs, delivery zips, and folders of them.
    request : Request, optional

    Returns
    -------
    dict
        Findings by file, in the order of the paths; of a zip that cannot be opened by the zip's name. What is passed over
        comes last: with the one finding given, or "debris" for what other systems have left in folders.

    Raises
    ------
    InputError
        If a path does not exist, a folder holds nothing to check, or a raster of then cannot serve.
    """
    request, paths = request or Request(), list(paths)
    with tempfile.TemporaryDirectory(prefix="imperv-verify-") as room:
        checked = []
        files = [path for path in check_paths(paths, (*TIFFS, ".zip")) if path not in request.passed_over]
        for number, path in enumerate(files):
            if path.suffix.lower() == ".zip":
                if path.with_suffix(".tif") not in files:
                    checked += _check_zip(path, Path(room) / str(number), request)
            else:
                checked.append(_check_one(str(path), path, path.parent, request, asked=False))
                if path.with_suffix(".zip") in files:
                    checked[-1].findings.extend(compare_package(path))
        _tell_editions(checked)
        comparable = [c for c in checked if c.comparable]
        for entry in comparable:
            if request.masks is not None:
                entry.findings.append(_gaps(entry, request.masks))
        for group in _groups(comparable):
            _compare(group, request)
        _check_edges(comparable)
    debris = passed("debris", "left by another system: not a product, left out", note=True)
    over = {**request.passed_over, **dict.fromkeys(find_debris(paths), debris)}
    return {entry.label: entry.findings for entry in checked} | {str(path): [finding] for path, finding in over.items()}


def check_meaning(job: Job, symbol: str, draft: Path) -> list[Finding]:
    """Findings of a written file (`draft`), not yet in place, from its relations to layers made before it."""
    asked = [r for r in RELATIONS if r.layer == symbol]
    sources = {**job_sources(job), symbol: file_source(draft, symbol)}
    found = [finding for _, finding in compare(sources, asked)]
    if all(f.ok for f in found):
        return found
    # An outdated layer is not compared: of different change masks, IMDC and IMDCS contradict each other.
    held = {name for r in asked for name in (*r.needs, *(r.unless or ()))} & (sources.keys() - {symbol})
    stale = {name for name in held if _outdated(job, name)}
    current = {name: source for name, source in sources.items() if name not in stale}
    return [finding for _, finding in compare(current, asked)] if stale else found


def _outdated(job: Job, symbol: str) -> bool:
    """True if an input of a layer has changed since it was made."""
    record, layer = job.record(symbol), CATALOGUE[symbol]
    used = record.ingredients.get("inputs", {}) if record is not None else {}
    changed = any(now is not None and used.get(key, now) != now for key, now in input_versions(job, layer).items())
    return changed or any(_outdated(job, name) for name in layer.inputs)


def _check_zip(path: Path, room: Path, request: Request) -> list[Checked]:
    """The one file of a delivery zip; the zip itself where there is none."""
    room.mkdir()
    notes = unpack(path, room)
    if any(not finding.ok for finding in notes):
        return [Checked(str(path), path, None, notes)]
    rasters = sorted(p for p in room.rglob("*") if p.suffix.lower() in (".tif", ".tiff"))
    if len(rasters) != 1:
        listed = ", ".join(p.name for p in rasters[:4]) or "none"
        wrong = failed("naming", f"a delivery holds exactly one .tif, this one {listed}")
        return [Checked(str(path), path, None, [wrong, *notes])]
    label = f"{path}/{rasters[0].relative_to(room)}"
    checked = _check_one(label, rasters[0], room, request, asked=True, window=covers_a_window(path))
    checked.findings.extend(notes)
    return [checked]


def _check_one(label: str, path: Path, root: Path, request: Request, *, asked: bool, window: bool = False) -> Checked:
    _, named = check_name(path.name)
    findings = check_file(path, window=request.window or window or covers_a_window(path))
    findings.append(check_metadata(path, root, named, asked=asked))
    entry = Checked(label, path, named, findings, record=record_beside(path))
    if entry.comparable:
        with rasterio.open(path) as source:
            entry.bounds = tuple(source.bounds)
    return entry


def _tell_editions(checked: Sequence[Checked]) -> None:
    """Note files whose records are of the same layer and years as another file."""
    same: dict[tuple[str, str, str, str], list[Checked]] = {}
    for entry in checked:
        if entry.named is not None and entry.record is not None:
            r = entry.record
            same.setdefault((str(entry.path.parent), r.symbol, r.start, r.end), []).append(entry)
    for entries in same.values():
        for entry in entries:
            if others := [e.path.name for e in entries if e is not entry]:
                text = f"{others[0]} beside it is the same layer of the same years in another edition; deliver one of them"
                entry.findings.append(passed("edition", text, note=True))


def _groups(checked: Sequence[Checked]) -> Iterator[dict[str, Checked]]:
    """Files by symbol, for every tile, area, pair of years and known edition; the newest issue where there are several."""
    several = {(e.named.tile, e.bounds) for e in checked if e.named is not None and any(f.check == "edition" for f in e.findings)}
    places: dict[tuple[object, ...], list[Checked]] = {}
    for entry in sorted(checked, key=_issue):
        if entry.named is not None:
            place = entry.named.tile, entry.bounds
            edition = (entry.named.theme, entry.named.issue) if place in several else ()
            places.setdefault((*place, edition), []).append(entry)
    for entries in places.values():
        named = [(entry, entry.named) for entry in entries if entry.named is not None]
        pairs: set[tuple[int | None, int]] = {(n.then, n.now) for _, n in named if n.then is not None}
        # Status layers of a year without a change layer.
        pairs |= {(None, n.now) for _, n in named if n.now not in {now for _, now in pairs}}
        for then, now in sorted(pairs, key=str):
            group = {}
            for entry, n in named:
                key = (n.part, n.pixel)
                if n.now == now and n.then in (then, None):
                    group[SYMBOLS[key]] = entry
                elif n.then is None and n.now == then and key in THEN:
                    group[THEN[key]] = entry
            yield {symbol: entry for symbol, entry in group.items() if symbol not in THEN.values() or _is_then(entry, group)}


def _is_then(entry: Checked, group: Mapping[str, Checked]) -> bool:
    """False if, by the records, a file is not of the first year of the changes beside it, whatever the names say."""
    changes = [e.record.start for e in group.values() if e.record and e.named and e.named.then is not None]
    return entry.record is None or not changes or entry.record.start in changes


def _issue(entry: Checked) -> str:
    return entry.named.issue if entry.named else ""


def _compare(group: Mapping[str, Checked], request: Request) -> None:
    """Add findings of the relations between the layers of a group."""
    first = next(iter(group.values()))
    sources: dict[str, Source] = {}
    if first.named is not None:
        for job in request.jobs:
            if job.tile == first.named.tile and job.bounds == first.bounds and _is_of(job, group):
                stored = job_sources(job)
                sources |= {s: stored[s] for s in stored if s not in SYMBOLS.values()}
    sources |= reference_sources(request.then, first.bounds)
    sources |= {symbol: file_source(entry.path, symbol) for symbol, entry in group.items()}
    for symbol, finding in compare(sources):
        if symbol in group:
            group[symbol].findings.append(finding)


def _is_of(job: Job, group: Mapping[str, Checked]) -> bool:
    """True if a production has the years and the edition of a group."""
    then, now = edition_years(job.production)
    issue = f"{job.production.delivery.version}_{job.production.delivery.release}"
    years = {(e.named.then, e.named.now) for e in group.values() if e.named is not None}
    editions = {(e.named.theme, e.named.issue) for s, e in group.items() if e.named is not None and s not in THEN.values()}
    return years <= {(None, now), (None, then), (then, now)} and editions <= {(theme_of(job.production), issue)}


def _gaps(entry: Checked, folder: Path) -> Finding:
    """No pixel inside the EEA's boundary mask is outside."""
    named = entry.named
    assert named is not None
    names = [MASK_NAME.format(ident=i, pixel=named.pixel, tile=str(named.tile).lower()) for i in ("2021", "eea38uk")]
    idents = names if named.now <= 2021 else names[::-1]
    path = next((folder / name for name in idents if (folder / name).is_file()), None)
    if path is None:
        return passed("gap", f"no {idents[0]} in {folder}: not checked", note=True)
    mask, layer = file_source(path, path.name, entry.bounds, named.pixel), file_source(entry.path, entry.path.name)
    rows, gaps = round((entry.bounds[3] - entry.bounds[1]) / named.pixel), 0
    for row in range(0, rows, 2048):
        stop = min(row + 2048, rows)
        gaps += int(np.count_nonzero((mask.read(row, stop) == 1) & (layer.read(row, stop) == OUTSIDE)))
    return failed("gap", f"{gaps} pixels inside {path.name} are 255") if gaps else passed("gap", f"none by {path.name}")


def _check_edges(checked: Sequence[Checked]) -> None:
    """Add findings at shared edges to both files."""
    by_product: dict[tuple[object, ...], list[Checked]] = {}
    for entry in sorted(checked, key=_issue):
        if entry.named is not None:
            n = entry.named
            by_product.setdefault((n.part, n.pixel, n.then, n.now), []).append(entry)
    for entries in by_product.values():
        newest = {(e.named.tile, e.bounds): e for e in entries if e.named is not None}.values()
        for one in newest:
            for other in newest:
                if one.named is None or other.named is None:
                    continue
                with contextlib.suppress(RasterioError):
                    found = _edge(one, other)
                    if found is not None:
                        one.findings.append(found.finding(str(other.named.tile)))
                        other.findings.append(found.finding(str(one.named.tile)))


def _edge(one: Checked, other: Checked) -> Seam | None:
    """The seam between a file and its neighbour to the east or south; None where they do not touch so."""
    assert one.named is not None
    (left, bottom, right, top), (left2, bottom2, right2, top2) = one.bounds, other.bounds
    pixel = one.named.pixel
    low, high = max(bottom, bottom2), min(top, top2)
    west, east = max(left, left2), min(right, right2)
    if right == left2 and low < high:
        boxes = (right - DEPTH * pixel, low, right, high), (right, low, right + DEPTH * pixel, high)
        turned = False
    elif bottom == top2 and west < east:
        boxes = (west, bottom, east, bottom + DEPTH * pixel), (west, bottom - DEPTH * pixel, east, bottom)
        turned = True
    else:
        return None
    bands = [_box(entry.path, box) for entry, box in zip((one, other), boxes, strict=True)]
    first, second = (band.T for band in bands) if turned else bands
    return seam(first, second, pixel, coded=max(one.named.rule.codes - {OUTSIDE}) <= 12)


def _box(path: Path, bounds: Bounds) -> np.ndarray:
    with rasterio.open(path) as source:
        column, row = ~source.transform @ (bounds[0], bounds[3])
        size = source.transform.a
        window = Window(round(column), round(row), round((bounds[2] - bounds[0]) / size), round((bounds[3] - bounds[1]) / size))
        return source.read(1, window=window)


def missing_products(job: Job, symbols: Iterable[str]) -> dict[str, Finding]:
    """Products that a tile lacks, by the path of their file, each with a finding that fails.

    Layers that the production does not make, such as a confidence without an ensemble, are not missed. A file without its record
    is missing: its delivery was interrupted.
    """
    present, found = job.store.find(f"products/{job.tile}"), {}
    for symbol in symbols:
        places, layer = places_of(job, symbol), job.record(symbol)
        done = places.record in present and job.store.read_record(places.record) is not None
        if layer is not None and not layer.made or done and places.tif in present:
            continue
        if done:
            text = "its record is there, the file is gone"
        elif places.tif in present:
            text = "it has no record: its delivery was interrupted"
        else:
            text = f"{symbol} is not {'made' if layer is None else 'delivered'} yet"
        found[job.store.full(places.tif)] = failed("missing", text)
    return found


def require_local(job: Job) -> str:
    """Folder of a tile's delivered files; InputError if the store is not a folder."""
    if not job.store.is_local:
        raise InputError(f"store: {job.production.store_url} is not a folder; copy its products to one and name that")
    return job.store.full(f"products/{job.tile}")
