"""Folders, zips, neighbours and productions: what is held against what, and what is said of it."""

import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.checks.metadata import REQUIRED, check_metadata_file
from imperv.tasks.imperviousness.checks.verifying import Request, verify
from imperv.tasks.imperviousness.products.rules import check_name
from imperv.tasks.store.records import Record
from tests.support.product_files import BLACK, CHANGE, CLASSES, IMD, LEFT, NAME, SBU, TOP, write
from tests.tasks.imperviousness.checks.test_consistency import layers

IBU = {0: (240, 240, 240), 1: (255, 178, 0), 255: BLACK}
FORMS = {
    "IMD_now": ("IMD_S2021_R10m", IMD), "IBU_now": ("IBU_S2021_R10m", IBU), "IMD_then": ("IMD_S2018_R10m", IMD),
    "IBU_then": ("IBU_S2018_R10m", IBU), "IMDCL": ("IMDCL_S2021_R10m", {255: BLACK}), "IBUCL": ("IBUCL_S2021_R10m", {255: BLACK}),
    "IMD_now_resampled": ("IMD_S2021_R100m", IMD), "SBU": ("SBU_S2021_R100m", SBU),
    "IMDC": ("IMDC_C2018-2021_R20m", CHANGE), "IMDCS": ("IMDCS_C2018-2021_R20m", CHANGE),
    "IMDC_resampled": ("IMDC_C2018-2021_R100m", CHANGE), "IMDCS_resampled": ("IMDCS_C2018-2021_R100m", CHANGE),
    "SBUC": ("SBUC_C2018-2021_R100m", CHANGE), "SBUCS": ("SBUCS_C2018-2021_R100m", CHANGE),
    **{c: (f"{c}_C2018-2021_R20m", CLASSES) for c in ("IMCC", "IMCCS", "IBUC", "IBUCS")},
    **{c: (f"{c}_C2018-2021_R100m", CLASSES) for c in ("SBCC", "SBCCS")},
}  # fmt: skip


def deliver(folder, arrays, tile="E43N32", **more):
    """Files of the layers, each right by itself."""
    paths = {}
    for symbol, array in arrays.items():
        if symbol in FORMS:
            form, colours = FORMS[symbol]
            name = f"CLMS_HRLNVLCC_{form}_{tile}_03035_V01_R00.tif"
            paths[symbol] = write(folder, name, array, colours=colours, pixel=int(form.split("_R")[1][:-1]), **more)
    return paths


def failures(found):
    return {(name.rsplit("/", 1)[-1].split("_")[2], f.check) for name, findings in found.items() for f in findings if not f.ok}


def texts(found, check):
    return [f.text for findings in found.values() for f in findings if f.check == check]


WINDOW = Request(window=True)


def test_a_folder_of_all_layers_passes(tmp_path):
    deliver(tmp_path / "out", layers())
    found = verify([tmp_path / "out"], WINDOW)
    assert len(found) == len(FORMS) and failures(found) == set()
    assert any("agrees with IMDCS, IMD_then, IMD_now" in text for text in texts(found, "change"))
    assert len(texts(found, "aggregation")) == 4


def test_a_wrong_layer_is_named_and_the_others_pass(tmp_path):
    arrays = layers()
    row, column = np.argwhere(arrays["SBU"] < 99)[7]
    arrays["SBU"][row, column] += 1
    deliver(tmp_path / "out", arrays)
    assert failures(verify([tmp_path / "out"], WINDOW)) == {("SBU", "aggregation")}


def test_the_first_year_may_be_a_mosaic_elsewhere(tmp_path):
    arrays = layers()
    now = {k: a for k, a in arrays.items() if not k.endswith("_then")}
    now["IMDC"][now["IMDC"] == 101] = 102
    deliver(tmp_path / "out", now)
    mosaic = np.full((300, 300), 255, np.uint8)
    mosaic[50:250, 60:260] = arrays["IMD_then"]
    then = write(tmp_path / "old", "mosaic.tif", mosaic, left=LEFT - 600, top=TOP + 500)
    assert ("IMDC", "change") not in failures(verify([tmp_path / "out"], WINDOW))
    found = verify([tmp_path / "out"], Request(window=True, then={"IMD_then": then}))
    assert ("IMDC", "change") in failures(found)
    shifted = write(tmp_path / "old", "shifted.tif", mosaic, left=LEFT - 603)
    with pytest.raises(InputError, match="not a raster of bytes on the 10 m EEA grid"):
        verify([tmp_path / "out"], Request(window=True, then={"IMD_then": shifted}))


def test_a_file_that_is_wrong_by_itself_is_not_held_against_others(tmp_path):
    arrays = layers()
    paths = deliver(tmp_path / "out", arrays)
    write(
        tmp_path / "out",
        paths["IMDC"].name,
        np.where(arrays["IMDC"] == 201, np.uint8(254), arrays["IMDC"]),
        colours=CHANGE,
        pixel=20,
    )
    assert failures(verify([tmp_path / "out"], WINDOW)) == {("IMDC", "value")}


def test_other_years_and_tiles_are_not_mixed(tmp_path):
    paths = deliver(tmp_path / "out", {"IMD_now_resampled": layers()["IMD_now_resampled"]})
    later = paths["IMD_now_resampled"].name.replace("R100m", "R10m").replace("HRLNVLCC", "NVLCC").replace("S2021", "S2024")
    write(tmp_path / "out", later, layers(9)["IMD_now"])
    assert failures(verify([tmp_path / "out"], WINDOW)) == set()


def test_the_newest_issue_speaks(tmp_path):
    arrays = layers()
    paths = deliver(tmp_path / "out", {k: arrays[k] for k in ("IMD_now", "IMD_now_resampled")})
    write(tmp_path / "out", paths["IMD_now"].name.replace("R00", "R01"), layers(9)["IMD_now"])
    assert failures(verify([tmp_path / "out"], WINDOW)) == {("IMD", "aggregation")}


def edition(folder, arrays, names, start, then="2018", issue="V01_R00"):
    """Files of layers with records, under names of an edition: the years that the records tell may be others."""
    theme, status, change = names
    for symbol, array in arrays.items():
        if symbol not in FORMS or symbol.endswith("_then"):
            continue
        form, colours = FORMS[symbol]
        form = form.replace("S2021", status).replace("C2018-2021", change)
        name = f"CLMS_{theme}_{form}_E43N32_03035_{issue}.tif"
        path = write(folder, name, array, colours=colours, pixel=int(form.split("_R")[1][:-1]))
        first = start if "_S2" in path.name else then
        record = Record(symbol, "E43N32", "key", start=f"{first}-01-01", end=f"{start}-12-31", windowed=True)
        path.with_suffix(".json").write_text(record.to_json())


def test_editions_of_the_same_years_are_told_apart(tmp_path):
    """The status of 2021 under its old name is not the year before that of the same year under its new name."""
    edition(tmp_path, layers(), ("HRLNVLCC", "S2021", "C2018-2021"), "2021")
    edition(tmp_path, layers(), ("NVLCC", "S2024", "C2021-2024"), "2021")
    found = verify([tmp_path])
    assert failures(found) == set()
    notes = texts(found, "edition")
    assert len(notes) == len(found) == 2 * (len(FORMS) - 2)
    assert all("beside it is the same layer of the same years in another edition" in note for note in notes)


def test_versions_are_told_apart_by_records(tmp_path):
    """A new version that differs is held against its own files, not against those of the version before."""
    edition(tmp_path, layers(), ("HRLNVLCC", "S2021", "C2018-2021"), "2021")
    new = layers(5)
    edition(tmp_path, {"IMD_now": new["IMD_now"]}, ("HRLNVLCC", "S2021", "C2018-2021"), "2021", issue="V02_R00")
    assert failures(verify([tmp_path])) == set()


def test_the_pair_before_gives_the_first_year(tmp_path):
    """Records agree: the status of 2021 of one production is the first year of the next."""
    arrays = layers()
    edition(tmp_path, {"IMD_now": arrays["IMD_then"]}, ("HRLNVLCC", "S2021", "C2018-2021"), "2021")
    changes = {k: arrays[k] for k in ("IMD_now", "IMDC", "IMDCS")}
    edition(tmp_path, changes, ("NVLCC", "S2024", "C2021-2024"), "2024", then="2021")
    found = verify([tmp_path])
    assert failures(found) == set() and texts(found, "edition") == []
    assert any("agrees with IMDCS, IMD_then, IMD_now" in text for text in texts(found, "change"))
    edition(tmp_path, {"IMD_now": arrays["IMD_now"]}, ("HRLNVLCC", "S2021", "C2018-2021"), "2021")
    assert ("IMDC", "change") in failures(verify([tmp_path]))


def test_edges_of_neighbouring_tiles(tmp_path):
    """The same land cut in two at the edge of a tile, once as it is and once with other densities beyond it."""
    from tests.tasks.imperviousness.checks.test_seams import land

    band = land(1, 1000, depth=400)
    west, east = "CLMS_HRLNVLCC_IMD_S2021_R10m_E42N32_03035_V01_R00.tif", NAME
    for name, right in (("good", band[:, 200:]), ("bad", np.clip(band[:, 200:].astype(int) + 30, 0, 100).astype(np.uint8))):
        write(tmp_path / name, west, band[:, :200].copy(), left=LEFT - 2000)
        write(tmp_path / name, east, right.copy())
    good, bad = (verify([tmp_path / name], WINDOW) for name in ("good", "bad"))
    assert failures(good) == set() and all("edge with" in t and "10 segments" in t for t in texts(good, "seams"))
    assert len(texts(good, "seams")) == 2
    assert failures(bad) == {("IMD", "seams")} and sum(not f.ok for fs in bad.values() for f in fs) == 2


def test_edges_to_the_south(tmp_path):
    from tests.tasks.imperviousness.checks.test_seams import land

    band = land(1, 1000, depth=400).T
    write(tmp_path / "out", NAME, band[:200].copy(), top=3202000)
    south = np.clip(band[200:].astype(int) + 30, 0, 100).astype(np.uint8)
    write(tmp_path / "out", NAME.replace("E43N32", "E43N31"), south, top=3200000)
    assert failures(verify([tmp_path / "out"], WINDOW)) == {("IMD", "seams")}


ISO = """<gmd:MD_Metadata xmlns:gmd="http://www.isotc211.org/2005/gmd" xmlns:gco="http://www.isotc211.org/2005/gco">{}</gmd:MD_Metadata>"""


def metadata(without="", west=9.0, east=12.0):
    """A record with every mandatory part, each in its place and nothing else."""
    parts = []
    for name, where in REQUIRED.items():
        if name == without or name == "geographic box":
            continue
        steps = [s for s in where.replace("//", "/").split("/") if s != "*"]
        parts.append("".join(f"<gmd:{s}>" for s in steps) + "<gco:CharacterString>x</gco:CharacterString>"
                     + "".join(f"</gmd:{s}>" for s in reversed(steps)))  # fmt: skip
    sides = {"westBoundLongitude": west, "eastBoundLongitude": east, "southBoundLatitude": 50.0, "northBoundLatitude": 53.0}
    box = "".join(f"<gmd:{k}><gco:Decimal>{v}</gco:Decimal></gmd:{k}>" for k, v in sides.items())
    if without != "geographic box":
        above = ("identificationInfo", "MD_DataIdentification", "extent", "EX_GeographicBoundingBox")
        parts.append("".join(f"<gmd:{s}>" for s in above) + box + "".join(f"</gmd:{s}>" for s in reversed(above)))
    return ISO.format("".join(parts))


@pytest.mark.parametrize("without", ["", *REQUIRED])
def test_each_mandatory_part_of_the_metadata_is_asked_for(tmp_path, without):
    path = tmp_path / "x.xml"
    path.write_text(metadata(without))
    finding = check_metadata_file(path, check_name(NAME)[1])
    assert finding.ok == (not without), finding.text
    assert without in finding.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<a", "is not valid XML"),
        ("<a/>", "not gmd:MD_Metadata"),
        (metadata(west=20.0, east=21.0), "does not overlap tile E43N32"),
    ],
)
def test_metadata_that_are_none_or_of_another_place(tmp_path, text, message):
    path = tmp_path / "x.xml"
    path.write_text(text)
    assert message in check_metadata_file(path, check_name(NAME)[1]).text


def package(folder, change=None, name="delivery.zip"):
    """A delivery as the EEA takes it; `change` edits its files by name before they are packed."""
    path = write(folder / "files", NAME)
    files = {p.name: p.read_bytes() for p in (path, path.with_name(f"{NAME}.vat.dbf"))}
    files[f"Metadata/{path.stem}.xml"] = metadata().encode()
    if change:
        change(files)
    with zipfile.ZipFile(folder / name, "w") as archive:
        for inside, data in files.items():
            archive.writestr(inside, data)
    return folder / name


HISTOGRAM = b"<PAMDataset><PAMRasterBand band='1'><Histograms/></PAMRasterBand></PAMDataset>"
ZIPS = {
    "good": (None, set()),
    "second tif": (lambda f: f.update({"x/other.tif": b""}), {"naming"}),
    "no tif": (lambda f: f.pop(NAME), {"naming"}),
    "no table": (lambda f: f.pop(f"{NAME}.vat.dbf"), {"attribute"}),
    "no metadata": (lambda f: f.pop(next(k for k in f if k.endswith("xml"))), {"inspire"}),
    "two folders of metadata": (lambda f: f.update({"more/metadata/x.xml": b""}), {"inspire"}),
    "histogram": (lambda f: f.update({f"{NAME}.aux.xml": HISTOGRAM}), {"side_files"}),
    "path that leaves it": (lambda f: f.update({"../x.txt": b""}), {"unzip"}),
}  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), ZIPS.values(), ids=ZIPS.keys())
def test_zips(tmp_path, change, expected):
    path = package(tmp_path, change)
    found = verify([path], WINDOW)
    assert {f.check for findings in found.values() for f in findings if not f.ok} == expected
    assert all(label.startswith(str(path)) for label in found)
    assert not (tmp_path / "x.txt").exists()


WINDOWS_ZIPS = {
    "backslashes": (lambda n: n.replace("/", "\\"), {}, set(), "backslashes instead of slashes"),
    "in a folder": (lambda n: "delivery\\" + n.replace("/", "\\"), {"delivery\\": b""}, set(), "backslashes instead of slashes"),
    "macOS": (lambda n: n, {f"__MACOSX/._{NAME}": b"x", "__MACOSX/Metadata/._x.xml": b"x", ".DS_Store": b"x"}, set(),
              f"3 files in it are not of a delivery (__MACOSX/._{NAME}), left out"),
    "AppleDouble beside": (lambda n: n, {f"._{NAME}": b"x"}, set(), "1 files in it are not of a delivery"),
    "a path that leaves it": (lambda n: n, {"..\\x.txt": b""}, {"unzip"}, "holds ../x.txt, a path that leaves the zip"),
    "a drive": (lambda n: n, {"C:\\x.txt": b""}, {"unzip"}, "holds C:/x.txt, a path that leaves the zip"),
}  # fmt: skip


@pytest.mark.parametrize(("rename", "more", "expected", "words"), WINDOWS_ZIPS.values(), ids=WINDOWS_ZIPS.keys())
def test_zips_of_other_systems(tmp_path, rename, more, expected, words):
    """Packed on Windows or macOS: read as meant, with a note, and what is no product is not taken for one."""

    def change(files):
        renamed = {rename(name): data for name, data in files.items()}
        files.clear()
        files.update(renamed | more)

    path = package(tmp_path, change)
    found = verify([path], WINDOW)
    assert len(found) == 1
    findings = [f for fs in found.values() for f in fs]
    assert {f.check for f in findings if not f.ok} == expected
    assert any(words in f.text for f in findings if f.note or not f.ok)
    assert not (tmp_path / "x.txt").exists()


def test_a_zip_of_windows_beside_its_file_is_the_same(tmp_path):
    path = package(tmp_path)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "out")
        entries = {name: archive.read(name) for name in archive.namelist()}
    product = tmp_path / "out" / NAME
    with zipfile.ZipFile(product.with_suffix(".zip"), "w") as archive:
        for name, data in {**entries, "Thumbs.db": b"x"}.items():
            archive.writestr(name.replace("/", "\\"), data)
    found = verify([tmp_path / "out"], WINDOW)
    assert list(found) == [str(product)] and failures(found) == set()
    assert texts(found, "unzip")[0] == "its zip holds the same 3 files"
    assert "backslashes" in texts(found, "unzip")[1] and "Thumbs.db" in texts(found, "debris")[0]


def test_debris_beside_products_is_named_and_not_judged(tmp_path, capsys):
    from imperv.flows.cli.commands import main

    folder = tmp_path / "x.part-1 [old]"
    path = write(folder, NAME)
    for name in (f"._{NAME}", f"__MACOSX/{NAME}", f"._{path.stem}.zip"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\0\5\26\7Mac OS X")
    found = verify([folder], WINDOW)
    assert list(found)[0] == str(path) and len(found) == 4 and failures(found) == set()
    assert texts(found, "debris") == ["left by another system: not a product, left out"] * 3
    assert main(["verify", str(folder), "--window"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "1 of 1 files pass, 3 not judged" and f"--   {folder / f'._{NAME}'}" in lines
    assert failures(verify([folder / f"._{NAME}"], WINDOW))  # whoever names it wants it


def test_a_zip_that_is_none(tmp_path):
    (tmp_path / "delivery.zip").write_bytes(b"PK no zip")
    found = verify([tmp_path])
    assert [f.check for f in found[str(tmp_path / "delivery.zip")]] == ["unzip"]


def test_a_zip_beside_its_file_is_the_same(tmp_path):
    package(tmp_path, name="x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        archive.extractall(tmp_path / "out")
    path = tmp_path / "out" / NAME
    (tmp_path / "x.zip").rename(path.with_suffix(".zip"))
    found = verify([tmp_path / "out"], WINDOW)
    assert list(found) == [str(path)] and failures(found) == set()
    assert texts(found, "unzip") == ["its zip holds the same 3 files"]
    (tmp_path / "out" / "Metadata" / f"{path.stem}.xml").write_text(metadata(west=9.5))
    assert failures(verify([tmp_path / "out"], WINDOW)) == {("IMD", "unzip")}


def test_gaps_are_found_with_the_masks_of_the_eea(tmp_path):
    array = layers()["IMD_now"]
    path = write(tmp_path / "out", NAME, array)
    mask = (array != 255).astype(np.uint8)
    name = "mask_2021_010m_e43n32.tif"
    write(tmp_path / "masks", name, mask, table=False)
    request = Request(window=True, masks=tmp_path / "masks")
    assert failures(verify([path], request)) == set()
    mask[array == 255] = 1
    write(tmp_path / "masks", name, mask, table=False)
    assert failures(verify([path], request)) == {("IMD", "gap")}
    assert f"{np.count_nonzero(array == 255)} pixels" in texts(verify([path], request), "gap")[0]
    (tmp_path / "masks" / name).unlink()
    [finding] = [f for fs in verify([path], request).values() for f in fs if f.check == "gap"]
    assert finding.ok and finding.note and "not checked" in finding.text


def test_meaning_of_a_draft_comes_from_the_store(tmp_path, monkeypatch):
    from imperv.tasks.imperviousness.checks.consistency import Source
    from imperv.tasks.imperviousness.checks.verifying import check_meaning

    arrays = layers()
    bounds = (LEFT, TOP - 2000, LEFT + 2000, TOP)
    stored = {"IMD_now": Source("IMD_now", 10, bounds, lambda a, b: arrays["IMD_now"][a:b])}
    monkeypatch.setattr("imperv.tasks.imperviousness.checks.verifying.job_sources", lambda job: dict(stored))
    paths = deliver(tmp_path / "out", {"IMD_now_resampled": arrays["IMD_now_resampled"]})
    assert [
        f.ok for f in check_meaning(SimpleNamespace(record=lambda symbol: None), "IMD_now_resampled", paths["IMD_now_resampled"])
    ] == [True]
    arrays["IMD_now"][:10, :10] = 77
    [finding] = check_meaning(SimpleNamespace(record=lambda symbol: None), "IMD_now_resampled", paths["IMD_now_resampled"])
    assert not finding.ok and "1 of 400 pixels" in finding.text


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    from imperv.flows.cli.commands import main

    path = write(tmp_path, table=False)
    assert main(["verify", str(path), "--window"]) == 1
    text = capsys.readouterr().out
    assert text.startswith(f"FAIL {path}") and "attribute: no attribute table" in text and "0 of 1 files pass" in text
    write(tmp_path)
    assert main(["verify", str(tmp_path), "--window", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(f["ok"] for f in found[str(path)]) and {"check", "ok", "text", "note"} == set(found[str(path)][0])
    assert main(["verify"]) == 2
    assert main(["verify", str(tmp_path / "nothing")]) == 2


def test_products_that_a_production_should_have_are_missed_by_name(tmp_path, capsys):
    from imperv.flows.cli.commands import main
    from imperv.tasks.delivery.delivery import deliver as hand_over
    from imperv.tasks.delivery.delivery import delivered_symbols, product_paths
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production
    from tests.support.delivered import CORNER, put

    config = tmp_path / "production.toml"
    config.write_text(
        f'tiles = ["E43N32"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        f"[area]\nbbox = {[*CORNER]}\n"
    )
    job = Job.of(Production.read(config), "E43N32")

    def verified(*more: str) -> tuple[int, str]:
        return main(["verify", "--config", str(config), *more]), capsys.readouterr().out

    def name(symbol: str) -> str:
        return product_paths(job, symbol)[0].rsplit("/", 1)[-1]

    code, said = verified()  # nothing at all
    assert code == 1 and f"0 of 0 files pass, {len(delivered_symbols())} missing" in said
    put(job, "IMD_now", np.resize(np.arange(101, dtype="u1"), (200, 200)))
    put(job, "IBU_now", np.zeros((200, 200), "u1"))
    put(job, "IMDCL", made=False, reason="one model only")  # nobody misses what the production does not make
    hand_over(job, "IMD_now")
    code, said = verified()
    assert code == 1 and f"1 of 1 files pass, {len(delivered_symbols()) - 2} missing" in said
    assert f"MISSING E43N32 {name('IBU_now')}: IBU_now is not delivered yet" in said
    assert f"MISSING E43N32 {name('IMDC')}: IMDC is not made yet" in said and name("IMDCL") not in said
    assert verified("-t", "IMD_now") == (0, f"ok   {tmp_path}/store/{product_paths(job, 'IMD_now')[0]}\n1 of 1 files pass\n")
    code, said = verified("--json")
    rows = json.loads(said)
    assert code == 1 and len(rows) == len(delivered_symbols()) - 1
    assert rows[str(tmp_path / "store" / product_paths(job, "IMDC")[0])] == [
        {"check": "missing", "ok": False, "text": "IMDC is not made yet", "note": False}
    ]
    # The record without the file, and the file without the record, are no products.
    tif, record = (tmp_path / "store" / path for path in product_paths(job, "IMD_now"))
    kept = record.read_text()
    record.unlink()
    code, said = verified("-t", "IMD_now")
    assert code == 1 and "its delivery was interrupted" in said and "0 of 1 files pass, 1 missing" in said
    record.write_text(kept)
    tif.unlink()
    code, said = verified("-t", "IMD_now")
    assert code == 1 and "the file is gone" in said
    assert verified("-t", "IMD_now", str(tmp_path))[0] == 2  # only one of them can be asked for
