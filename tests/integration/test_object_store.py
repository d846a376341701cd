"""The store on a real S3 server on loopback: the same layers as in a folder, up to date, lazy to open."""

import socket

import numpy as np
import pytest

from flows.cli import main
from tasks.store import Store

TILE = "E44N27"


@pytest.fixture(scope="module")
def s3(request):
    """Options for a bucket `imperv` on a server of this process."""
    server = pytest.importorskip("moto.server")
    patch = pytest.MonkeyPatch()
    request.addfinalizer(patch.undo)
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        patch.setenv(name, value)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    running.start()
    request.addfinalizer(running.stop)
    options = {"endpoint_url": f"http://127.0.0.1:{port}"}
    Store("s3://imperv", options).fs.mkdir("imperv")
    return options


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
    assert main(["run", TILE, "--config", str(config)]) == 0
    capsys.readouterr()
    store, local = Store("s3://imperv/runs/one", s3), Store(finished.parent / "store")
    ours, theirs = ({p: r.digest for p, r in s.records(TILE).items()} for s in (store, local))
    assert ours == theirs
    for name in store.fs.ls(f"imperv/runs/one/products/{TILE}", detail=False):
        product = name.rsplit("/", 1)[-1]
        assert store.fs.cat_file(name) == (finished.parent / "store" / "products" / TILE / product).read_bytes() or name.endswith(
            "json"
        )
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
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("imperv:")]
    assert len(lines) == 1 and "there is no bucket nowhere at http" in lines[0]
