"""Environment variables that libraries read when they are imported, put right before: data of PROJ and GDAL, places of caches.

Standard library only: every command begins with it.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

PROJ = ("PROJ_DATA", "PROJ_LIB")
GDAL = ("GDAL_DATA", "GDAL_DRIVER_PATH")
"""QGIS, PostGIS, conda and the modules of clusters set them for libraries of their own version; another version fails on them."""


def put_right() -> None:
    """Use the packages' own data of PROJ and GDAL, and a temporary folder for caches where the home cannot be written."""
    rasterio = find_spec("rasterio")
    package = Path(rasterio.origin).parent if rasterio and rasterio.origin else Path()
    for data, names in (("proj_data", PROJ), ("gdal_data", GDAL)):
        if (package / data).is_dir():  # as in wheels; what was built against the system's libraries may need the variables
            for name in names:
                os.environ.pop(name, None)
    # Numba writes beside the modules where it can, which is where these lie.
    _provide("NUMBA_CACHE_DIR", "numba", Path(__file__).parent / "__pycache__", _usual("XDG_CACHE_HOME", ".cache"))
    _provide("MPLCONFIGDIR", "matplotlib", _usual("XDG_CONFIG_HOME", ".config"))


def foreign_data() -> str:
    """What to say beside a failure of PROJ or GDAL where variables of another installation may be the cause; else nothing."""
    found = [f"{name}={os.environ[name]}" for name in (*PROJ, *GDAL) if os.environ.get(name)]
    return f"; {', '.join(found)} in the environment may be of another installation: unset it" if found else ""


def _usual(variable: str, standard: str) -> Path:
    """Where a user's caches or settings are."""
    return Path(os.environ.get(variable) or Path("~", standard).expanduser())


def _provide(variable: str, library: str, *usual: Path) -> None:
    """Name a temporary folder to a library that can write neither where it is told to nor where it usually does."""
    told = os.environ.get(variable)
    if not any(_writable(folder) for folder in ([Path(told)] if told else []) + list(usual)):
        with suppress(OSError):
            os.environ[variable] = str(temporary_folder(library))


def temporary_folder(*parts: str) -> Path:
    """A folder that this user's processes share, and that no other user can have put anything into.

    Raises
    ------
    OSError
        If there is no place for temporary files.
    """
    folder = Path(tempfile.gettempdir()) / f"imperv-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or not folder.is_dir() or folder.is_symlink():
        folder = Path(tempfile.mkdtemp(prefix="imperv-"))
    inside = folder.joinpath(*parts)
    inside.mkdir(parents=True, exist_ok=True)
    return inside


def _writable(folder: Path) -> bool:
    """True where files can be made in a folder, or would be if it was made; leaves nothing behind."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return folder.is_absolute()  # where no home is known, "~" is left as it is
