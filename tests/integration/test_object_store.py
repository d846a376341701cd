"""The store on a real S3 server on loopback: the same layers as in a folder, up to date, lazy to open."""

import numpy as np
import pytest

from imperv.flows.cli.commands import main
from imperv.tasks.store.store import Store
from tests.support.objections import objections
from tests.support.s3_server import serving_s3

TILE = "E44N27"


@pytest.fixture(scope="module")
def s3():
    """Options for a bucket `imperv` on a server of this process."""
    with serving_s3("imperv") as url:
        yield {"endpoint_url": url}


@pytest.fixture(scope="module")
def config(finished, s3):
    """The site's production with its store in the bucket."""
    text = finished.read_text().replace(
        'store = "store"', f'store = "s3://imperv/runs/one"\nstore_options = {{endpoint_url = "{s3["endpoint_url"]}"}}'
    )
    path = finished.parent / "production-s3.toml"
    path.write_text(text)
    return path


@pytest.mark.slow
def test_the_chain_runs_on_an_object_store(finished, config, s3, capsys):
    """One of both models is trained; the other one is there."""
    store, local = Store("s3://imperv/runs/one", s3), Store(finished.parent / "store")
    store.fs.put(f"{finished.parent}/store/models/IBUD/", "imperv/runs/one/models/IBUD/", recursive=True)
    assert main(["run", TILE, "--config", str(config)]) == 0
    assert " IMD_model " in (said := capsys.readouterr().err) and " IBUD_model " not in said
    ours, theirs = ({p: r.digest for p, r in s.records(TILE).items()} for s in (store, local))
    assert ours == theirs
    products = f"imperv/runs/one/products/{TILE}/"
    names = [name.removeprefix(products) for name in store.fs.find(products)]
    folder = finished.parent / "store" / "products" / TILE
    assert sorted(names) == sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    for name in names:
        # Records, STAC items and metadata tell when they were made.
        assert name.endswith(("json", "xml")) or store.fs.cat_file(products + name) == (folder / name).read_bytes()
    layer = store.open("IMD_now", TILE)
    assert layer.rio.crs.to_epsg() == 3035 and layer.chunks is not None
    assert np.array_equal(layer.values, local.open("IMD_now", TILE).values)
    assert main(["run", TILE, "--config", str(config)]) == 0
    assert "0 ran" in capsys.readouterr().err


@pytest.mark.slow
def test_deleted_objects_are_noticed(config, s3, capsys):
    store = Store("s3://imperv/runs/one", s3)
    store.fs.rm_file(store.fs.find(f"imperv/runs/one/tiles/{TILE}/2018-2021/RMSD.zarr")[-1])
    assert main(["run", TILE, "--config", str(config)]) == 0
    assert "1 ran" in capsys.readouterr().err


def test_a_bucket_that_is_not_there(config, s3, capsys):
    path = config.parent / "production-nobucket.toml"
    path.write_text(config.read_text().replace("s3://imperv/", "s3://nowhere/"))
    capsys.readouterr()
    assert main(["run", TILE, "--config", str(path), "-t", "IBU_then"]) == 2
    lines = objections(capsys.readouterr().err)
    assert len(lines) == 1 and "there is no bucket nowhere at http" in lines[0]


def test_models_are_found_on_an_object_store(s3, tmp_path):
    """One listing for all, records only of the nearest; the rest as in a folder."""
    from dataclasses import replace

    from imperv.grids import Tile, nearest_tiles, official_tiles
    from imperv.tasks.job import Job
    from imperv.tasks.networks.model_files import export_model, import_model
    from imperv.tasks.networks.registry import ensemble_models
    from tests.support.small_models import production, put_model, record_of

    head = f'store = "s3://imperv/models"\nstore_options = {{endpoint_url = "{s3["endpoint_url"]}"}}'
    found = production(tmp_path, head=head)
    job = Job.of(found, TILE)
    nearest = [t.name for t in nearest_tiles(job.tile, [Tile(n) for n in official_tiles("eea38-2024")], 14)]
    for name in nearest:
        put_model(job.store, record_of(found, name, **({"unet.features": "full18"} if name == nearest[1] else {})))
    put_model(job.store, record_of(found, TILE))
    job.store.fs.rm_file(job.store.full(f"models/IMD/{nearest[2]}/model.json"))
    job.store.fs.rm_file(job.store.full(f"models/IMD/{nearest[3]}/model.keras"))
    result = ensemble_models(job, "IMD_model")
    assert [r.tile for r in result.models] == [TILE, nearest[0], *nearest[4:7]]
    assert result.left_out == {
        nearest[1]: "other features: full18, expected atbd12",
        nearest[2]: "its record is missing or cannot be read",
        nearest[3]: "its data are gone or damaged",
    }
    export_model(job.store, "IMD", job.tile, tmp_path / "imd.zip")
    record, note = import_model(found, tmp_path / "imd.zip", tile=nearest[3], replace_own=True)
    assert note == "" and job.store.data_in_place(record)
    assert nearest[3] in [r.tile for r in ensemble_models(job, "IMD_model").models]
    assert replace(record, tile=TILE).digest == job.record("IMD_model").digest
