"""The store: layers as Zarr beside their records, models and delivered files, in a folder or an object store.

A layer is done if and only if its record exists. In a folder, data are written under a temporary name and moved; object
stores cannot move, so there the record is removed first and written last. A killed run leaves nothing that looks done.
"""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec
import zarr
from fsspec.implementations.local import LocalFileSystem
from odc.geo.geobox import GeoBox

from imperv.grids import Tile
from imperv.layers.catalogue import CATALOGUE, Layer, Variable
from imperv.tasks.errors import InputError, disk_trouble, folder_trouble
from imperv.tasks.store import opening
from imperv.tasks.store.arrays import create_arrays
from imperv.tasks.store.debris import is_debris
from imperv.tasks.store.file_systems import discard, file_system
from imperv.tasks.store.lease import SECONDS, Lease, holding, is_held
from imperv.tasks.store.records import Record

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

for _protocol in ("s3", "s3a"):
    fsspec.register_implementation(_protocol, "imperv.tasks.store.object_store.PatientS3", clobber=True)

PAST = ".gone"
TEMPORARY = ".part-"


@dataclass(frozen=True)
class Place:
    """Where a layer of a tile lives, relative to the store."""

    data: str
    record: str


class Store:
    """A store of layers.

    Parameters
    ----------
    url : str
        Folder or URL such as ``s3://bucket/prefix``.
    options : mapping, optional
        Options of the fsspec file system, such as ``{"endpoint_url": ...}``.
    runs : str
        Folder of states, leases, logs and reports: those of one product.
    """

    def __init__(self, url: str | Path, options: Mapping[str, Any] | None = None, runs: str = "runs") -> None:
        self.runs = runs
        self.url = str(url).rstrip("/") or "/"
        self.options = dict(options or {})
        try:
            self.fs, self.root = file_system(self.url, self.options)
        except (ValueError, ImportError, TypeError) as error:
            raise InputError(f"store: {self.url}: {error}; write a folder or s3://bucket/prefix") from None
        if self.is_local and (trouble := folder_trouble(Path(self.root))):
            raise InputError(f"store: {trouble}")

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @property
    def is_local(self) -> bool:
        """True for a folder."""
        return isinstance(self.fs, LocalFileSystem)

    layered = False
    """True where layers may lie in another store (`tasks.store.overlay`)."""

    def home(self, path: str) -> Store:
        """The store that holds a file."""
        return self

    # places -----------------------------------------------------------------------------------------------------

    def full(self, path: str) -> str:
        """Path within the file system."""
        return f"{self.root}/{path}"

    @staticmethod
    def place(layer: Layer, tile: Tile, label: str) -> Place:
        """Where a layer belongs; `label` names its period, and does not matter for models that are the tile's."""
        if layer.model_file:
            folder = f"{layer.model_folder}/{tile}"
            return Place(f"{folder}/{layer.model_file}", f"{folder}/model.json")
        folder = f"tiles/{tile}/{label}"
        ending = "zarr" if layer.resolution else "data.json"
        return Place(f"{folder}/{layer.stem}.{ending}", f"{folder}/{layer.stem}.json")

    # records ----------------------------------------------------------------------------------------------------

    def read_record(self, path: str) -> Record | None:
        """The record at a path; None where there is none or it cannot be read."""
        text = self.read_text(path)
        if text is None:
            return None
        try:
            return Record.from_json(text)
        except ValueError:
            return None

    def write_record(self, path: str, record: Record) -> None:
        """Write a record at once or not at all."""
        self.write_text(path, record.to_json())

    def remove_record(self, path: str) -> None:
        """Remove a record, so that the layer is no longer done."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.full(path))

    def replace_text(self, place: Place, text: str) -> None:
        """Put text in the place of a layer's data; its record goes before, so that it is not done until it has a new one."""
        self.remove_record(place.record)
        self.write_text(place.data, text)

    def remove(self, place: Place) -> None:
        """Remove a layer: its record, then its data."""
        self.remove_record(place.record)
        discard(self.fs, self.full(place.data))

    def data_in_place(self, record: Record) -> bool:
        """True where the files that a record speaks of are all there, with their size."""
        if not record.made or not record.href:
            return True
        return self.measure_all(record) == (record.files, record.size)

    def measure_all(self, record: Record) -> tuple[int, int]:
        """Number of files and bytes of a record's data and of what is beside them."""
        found = [self.measure(path) for path in (record.href, *record.beside)]
        return sum(files for files, _ in found), sum(size for _, size in found)

    def measure(self, path: str) -> tuple[int, int]:
        """Number of files and bytes at a path."""
        self.fs.invalidate_cache()
        found = [e for name, e in self.fs.find(self.full(path), detail=True).items() if not is_debris(PurePosixPath(name))]
        return len(found), sum(int(entry["size"] or 0) for entry in found)

    def find(self, folder: str) -> dict[str, int]:
        """Files below a folder, relative to the store, and their bytes."""
        self.fs.invalidate_cache()
        found = self.fs.find(self.full(folder), detail=True)
        root = PurePosixPath(self.root)
        return {str(PurePosixPath(path).relative_to(root)): int(entry["size"] or 0) for path, entry in found.items()}

    # text and files ---------------------------------------------------------------------------------------------

    def read_text(self, path: str) -> str | None:
        """Text of a file, or None where there is none."""
        try:
            return self.fs.cat_file(self.full(path)).decode("utf-8")
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
            return None
        except PermissionError as error:
            said = " ".join(str(error.strerror or error).split())
            raise InputError(f"store: {self.url}/{path} cannot be read ({said}); correct the keys or store_options") from None

    def write_text(self, path: str, text: str) -> None:
        """Write a text file at once or not at all."""
        with self.writing(path) as temporary:
            self.fs.pipe_file(temporary, text.encode("utf-8"))

    def put_file(self, source: Path, path: str) -> None:
        """Copy a local file into the store at once or not at all."""
        with self.writing(path) as temporary:
            self.fs.put_file(str(source), temporary)

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[str]:
        """Path to write a single file to; it appears under its name when the block ends well."""
        target = self.full(path)
        if not self.is_local:
            try:
                yield target  # one object appears at once
            except OSError as error:
                raise disk_trouble(error, f"{self.url}/{path}") from error
            return
        temporary = f"{target}{TEMPORARY}{uuid.uuid4().hex[:8]}"
        try:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            Path(temporary).replace(target)
        except OSError as error:
            raise disk_trouble(error, path) from error
        finally:
            with contextlib.suppress(OSError):
                Path(temporary).unlink(missing_ok=True)

    # arrays -----------------------------------------------------------------------------------------------------

    def zarr_store(self, path: str, read_only: bool = False) -> Any:
        """Zarr store at a path within the file system."""
        if self.is_local:
            return zarr.storage.LocalStore(path, read_only=read_only)
        return zarr.storage.FsspecStore.from_url(
            self.fs.unstrip_protocol(path), storage_options=self.options or None, read_only=read_only
        )

    @contextlib.contextmanager
    def writing_arrays(
        self,
        place: Place,
        grid: GeoBox,
        resolution: float,
        variables: tuple[Variable, ...],
        attributes: Mapping[str, Any],
    ) -> Iterator[Any]:
        """Group of empty arrays to be filled; it replaces the layer's data when the block ends well.

        The layer's record is removed before its data are touched.
        """
        target = self.full(place.data)
        where = target if not self.is_local else f"{target}{TEMPORARY}{uuid.uuid4().hex[:8]}"
        try:
            if self.is_local:
                Path(where).parent.mkdir(parents=True, exist_ok=True)
            else:
                self.remove_record(place.record)
                discard(self.fs, target)
            group = zarr.create_group(self.zarr_store(where), zarr_format=3, attributes=dict(attributes))
            create_arrays(group, grid, resolution, variables)
            yield group
            if self.is_local:
                self.remove_record(place.record)
                self._swap(Path(where), Path(target))
        except OSError as error:
            raise disk_trouble(error, place.data) from error
        finally:
            if self.is_local and where != target:
                shutil.rmtree(where, ignore_errors=True)

    def _swap(self, new: Path, target: Path) -> None:
        """Put a finished folder in the place of an old one."""
        past = target.with_name(f"{target.name}{PAST}-{uuid.uuid4().hex[:8]}")
        if target.exists():
            target.rename(past)
        new.rename(target)
        shutil.rmtree(past, ignore_errors=True)

    @contextlib.contextmanager
    def tile_lock(self, tile: Tile, seconds: float = SECONDS) -> Iterator[Lease]:
        """Keep other processes from working on a tile, wherever they run; see `tasks.store.lease`.

        Raises
        ------
        TileBusyError
            If another process works on the tile.
        """
        with holding(self, str(tile), seconds) as lease:
            yield lease

    def is_locked(self, tile: Tile) -> bool:
        """True while a process works on a tile."""
        return is_held(self, str(tile))

    def sweep(self, tile: Tile, own: Callable[[str], bool] = lambda path: True) -> int:
        """Remove what killed runs left under temporary names for a tile; the number of things removed.

        Only call it while nobody else writes what is `own`: paths of targets relative to the store.
        """
        if not self.is_local:
            return 0
        found = [
            path
            for folder in _folders_of(tile)
            for path in Path(self.full(folder)).rglob("*")
            if (mark := next((m for m in (TEMPORARY, PAST) if m in path.name), "")) and own(self._target(path, mark))
        ]
        found += Path(self.full(self.runs)).glob(f"{tile}.*{TEMPORARY}*")
        for path in found:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(found)

    def _target(self, path: Path, mark: str) -> str:
        """What a file or folder under a temporary name was to become, relative to the store."""
        return str(path.with_name(path.name.partition(mark)[0]).relative_to(self.root))

    def group(self, path: str) -> zarr.Group:
        """Arrays of a layer, for reading blocks."""
        return zarr.open_group(self.zarr_store(self.full(path), read_only=True), mode="r")

    # for people -------------------------------------------------------------------------------------------------

    def records(self, tile: Tile | str) -> dict[str, Record]:
        """All records of a tile by their path."""
        name = str(Tile(str(tile)))
        found: dict[str, Record] = {}
        for folder in _folders_of(name):
            for full in sorted(self.fs.find(self.full(folder))):
                path = str(PurePosixPath(full).relative_to(PurePosixPath(self.root)))
                if path.endswith(".json") and ".zarr/" not in path and not path.endswith((".data.json", ".stac.json")):
                    record = self.read_record(path)
                    if record is not None:
                        found[path] = record
        return found

    def tiles(self) -> list[str]:
        """Names of the tiles that the store has layers of."""
        return self.entries("tiles")

    def folders(self, tile: str) -> list[str]:
        """Names of the periods and pairs that a tile has layers of."""
        return self.entries(f"tiles/{tile}")

    def entries(self, folder: str) -> list[str]:
        """Names of what is in a folder."""
        self.fs.invalidate_cache()
        try:
            found = map(PurePosixPath, self.fs.ls(self.full(folder), detail=False))
            return sorted(path.name for path in found if not is_debris(path))
        except FileNotFoundError:
            return []

    def open(self, layer: str, tile: Tile | str, period: str | None = None, *, masked: bool = False) -> xr.DataArray | xr.Dataset:
        """A finished layer as a lazy, georeferenced xarray object.

        Parameters
        ----------
        layer : str
            Symbol such as ``"IMD_now"``, or another spelling of it, in any case.
        tile : Tile or str
            EEA tile.
        period : str, optional
            Folder of the period or pair, such as ``"2018-2021"``; needed where the store holds several.
        masked : bool
            NaN where there is no data: coded layers come as float32.

        Returns
        -------
        xarray.DataArray or xarray.Dataset
            Axes (y, x) in EPSG:3035 with ``.rio`` and ``.odc`` at hand, backed by Dask. Codes and no data are as stored
            (``.rio.nodata``), unless `masked`. CF attributes: ``long_name``, ``units`` or ``flag_values`` and
            ``flag_meanings``. PP, which has several arrays, is a Dataset.

        Raises
        ------
        InputError
            If there is no such layer, it is not done, or the period is ambiguous.
        """
        return opening.open_layer(self.with_base(), layer, tile, period, masked)

    def mosaic(
        self, layer: str, tiles: Iterable[Tile | str] | None = None, period: str | None = None, *, masked: bool = False
    ) -> xr.DataArray | xr.Dataset:
        """A layer of several tiles, or of windows of them, as one lazy object; no data where no tile is.

        Parameters
        ----------
        layer, period, masked
            As for `open`.
        tiles : iterable of Tile or str, optional
            EEA tiles; all that have the layer by default.

        Returns and raises as `open`, over the rectangle around all tiles.
        """
        return opening.open_mosaic(self.with_base(), layer, tiles, period, masked)

    def layers(self, tile: Tile | str | None = None) -> pd.DataFrame:
        """What is in the store, a row for every layer of a tile, or of all tiles.

        Columns: ``layer``, ``tile``, ``period``, as `open` takes them; ``made``, False with its ``reason`` where it is not made;
        ``description``, ``kind``, ``resolution`` in metres (0: no raster), ``units``, ``created``.
        """
        return opening.list_layers(self.with_base(), tile)

    def with_base(self) -> Store:
        """This store, over that of the production which it is a scratch store of (`tasks.store.overlay`)."""
        from imperv.tasks.store.overlay import over_base

        return over_base(self)


def _folders_of(tile: Tile | str) -> list[str]:
    """Folders that hold what belongs to a tile."""
    models = [f"{layer.model_folder}/{tile}" for layer in CATALOGUE.values() if layer.model_file]
    return [f"tiles/{tile}", *models, f"products/{tile}"]


def with_measured(record: Record, store: Store) -> Record:
    """The record with the files and bytes that its data have now."""
    files, size = store.measure_all(record) if record.href else (0, 0)
    return replace(record, files=files, size=size)
