"""What every process of the flows assumes of its environment, where that says nothing itself."""

import os
import subprocess
import sys

import pytest

TOLD = "import imperv.flows, rasterio.env as env\nwith env.Env(): print(env.get_gdal_config('GDAL_CACHEMAX'))"


@pytest.mark.parametrize(("given", "bytes_"), [({}, 128 * 2**20), ({"GDAL_CACHEMAX": "256"}, 256 * 2**20)])
def test_gdal_holds_few_decoded_blocks_on_any_machine(given, bytes_):
    """By itself GDAL takes a twentieth of the machine's memory, beyond `engine.memory`."""
    environment = {name: value for name, value in os.environ.items() if name != "GDAL_CACHEMAX"} | given
    done = subprocess.run([sys.executable, "-c", TOLD], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == bytes_
