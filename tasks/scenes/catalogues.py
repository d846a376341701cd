"""The catalogue that a person names in a word: its kind is told from the value."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlparse

from imperv.tasks.errors import InputError
from imperv.tasks.scenes.bands import BANDS
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.safe import SafeProducts, products_in
from imperv.tasks.scenes.scenes import Level, SceneCatalogue
from imperv.tasks.scenes.stac_api import StacApi
from imperv.tasks.store.hrefs import local_path


def open_source(
    source: str | Path, collection: str = "", needed: Collection[str] = BANDS, level: Level = "L2A"
) -> SceneCatalogue:
    """The catalogue behind a URL or path.

    A URL is a STAC API, unless it ends in ``.json``: then it is a file of items or a static catalogue. A path is a SAFE product
    or a folder of them, or else a file or folder of STAC items. `needed` bands make a SAFE product of the level sound.
    """
    path = local_path(str(source))
    scheme = urlparse(path).scheme if "://" in path else ""
    if scheme in ("http", "https"):
        kind = ItemFiles if urlparse(path).path.endswith(".json") else StacApi
        return kind(path, collection)
    if scheme:
        raise InputError(
            f"scenes.catalogue: {path}: catalogues are not read by {scheme}; "
            "name a STAC API (https://), a file or folder of STAC items, or a folder of SAFE products"
        )
    if not ItemFiles.are_in(path) and next(products_in(Path(path)), None):
        return SafeProducts(path, needed, level)
    return ItemFiles(path, collection)
