"""Level-2A of a product of Level-1C, by Sen2Cor where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from imperv.tasks.errors import InputError, WorkError

PROGRAM = "L2A_Process"
"""The program of Sen2Cor."""


def level_2a(source: str, folder: Path) -> Path:
    """Make Level-2A of a product, a SAFE folder or zip, in a new folder below `folder`; the folder that it is in.

    InputError where the program is missing or the source is no product, WorkError where it fails.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise InputError(f"{source}: is Level-1C, and no {PROGRAM} is installed; install Sen2Cor, or name the Level-2A product")
    product, own = Path(source), Path(tempfile.mkdtemp(dir=folder))
    if product.suffix.lower() == ".zip":
        with zipfile.ZipFile(product) as packed:
            packed.extractall(own / "unpacked")
        product = next((own / "unpacked").glob("*.SAFE"), product)
    if not (product / "MTD_MSIL1C.xml").exists():
        raise InputError(f"{source}: holds Level-1C, but is no single product; name its products one by one")
    made = own / "made"
    made.mkdir()
    done = subprocess.run([program, "--output_dir", str(made), str(product)], capture_output=True, text=True, check=False)
    if done.returncode or not any(made.iterdir()):
        last = ([""] + (done.stderr or done.stdout).strip().splitlines())[-1]
        raise WorkError(f"{source}: {PROGRAM} failed (exit code {done.returncode}, {last!r}); run it by hand to see why")
    return made
