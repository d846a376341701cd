"""The example notebook, run cell by cell on a store."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
import rasterio
from nbclient import NotebookClient

from tests.support.report_store import copied

pytest.importorskip("osgeo.gdal")

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "example.ipynb"


@pytest.mark.slow
def test_the_notebook_runs(filled, tmp_path):
    """Beside the folder of the demo, as in a checkout after `make demo`."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "docs").mkdir()
    job = copied(filled, tmp_path / "demo")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path / "docs")}}
    NotebookClient(notebook, timeout=600, startup_timeout=300, kernel_name="python3", resources=place).execute()
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    said = "".join(out.get("text", "") for out in outputs)
    density = job.array("IMD_now")[:]
    hectares = density[density != 255].sum(dtype="i8") / 100 * 0.01
    assert f"sealed surface: {hectares:.1f} ha" in said
    assert sum("image/png" in out.get("data", {}) for out in outputs) == 3
    with rasterio.open(tmp_path / "docs" / "imd.tif") as written:
        assert written.nodata == 255 and np.array_equal(written.read(1), density)
    assert not any(cell.outputs for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code")
