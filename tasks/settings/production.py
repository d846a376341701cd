"""What a production is: periods, tiles, scenes, references, store, engine and parameters, read from one TOML file.

Command line beats environment (``IMPERV_ENGINE__WORKERS=4``) beats file. Unknown keys are refused. The parameter models
stand beside the functions that they steer.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from dask.utils import format_bytes, parse_bytes
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from imperv.grids import EDITIONS, Tile, country_tiles, official_tiles, snap_outward
from imperv.grids.tiles import NEWEST, TILE_METRES, resolve_tile
from imperv.layers.reflectance import BANDS
from imperv.tasks.errors import InputError
from imperv.tasks.settings.areas import tiles_touched
from imperv.tasks.settings.delivery import DeliverySettings
from imperv.tasks.settings.overrides import Overrides, given, origin, part_of, refuse_misspelt
from imperv.tasks.settings.parameters import Frozen, Parameters
from imperv.tasks.settings.periods import Period, pair_label
from imperv.tasks.settings.toml_files import read_toml
from imperv.tasks.settings.watch import WatchSettings


def _bytes(value: object) -> int:
    try:
        return int(parse_bytes(value))  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f"{value!r} is not an amount of memory like '8 GiB'") from None


def _area(bbox: tuple[float, float, float, float] | None) -> tuple[int, int, int, int] | None:
    if bbox is None:
        return None
    snapped = snap_outward(bbox)
    if max(map(abs, bbox)) <= 360:
        raise ValueError(f"{list(bbox)} looks like degrees; EPSG:3035 metres are needed")
    return snapped


def _part(each: tuple[float, float, float, float] | None) -> tuple[int, int, int, int] | None:
    if each is None:
        return None
    snapped = snap_outward(each)
    if min(snapped) < 0 or max(snapped) > TILE_METRES:
        raise ValueError(f"{list(each)} leaves the tile: give metres from its lower-left corner, 0 to {TILE_METRES}")
    return snapped


def _tile_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(resolve_tile(name).name for name in names)


def _countries(codes: tuple[str, ...]) -> tuple[str, ...]:
    for code in codes:
        country_tiles(code)
    return codes


class Periods(Frozen):
    """The two periods."""

    then: Period
    """Twelve months of the previous production; references describe it."""
    now: Period
    """Twelve months to be mapped."""

    @model_validator(mode="after")
    def _ordered(self) -> Periods:
        if self.then.start >= self.now.start:
            raise ValueError(f"then ({self.then}) must begin before now ({self.now})")
        return self

    @property
    def pair(self) -> str:
        """Name of the pair's folder."""
        return pair_label(self.then, self.now)


class Area(Frozen):
    """A window for trials: one for all tiles, or one in each."""

    bbox: Annotated[tuple[float, float, float, float] | None, AfterValidator(_area)] = None
    """[left, bottom, right, top] in EPSG:3035, snapped outward to whole kilometres."""
    each: Annotated[tuple[float, float, float, float] | None, AfterValidator(_part)] = None
    """The same from the lower-left corner of every tile, metres: a sample of each tile of a list."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Area:
        if (self.bbox is None) == (self.each is None):
            raise ValueError("give either bbox, in EPSG:3035, or each, from the corner of every tile")
        return self

    def of(self, tile: Tile) -> tuple[float, float, float, float]:
        """[left, bottom, right, top] of the window for a tile, EPSG:3035."""
        if self.bbox is not None:
            return self.bbox
        assert self.each is not None
        left, bottom = tile.bounds[:2]
        return self.each[0] + left, self.each[1] + bottom, self.each[2] + left, self.each[3] + bottom


def _endpoint(url: str) -> str:
    if url and not re.fullmatch(r"https?://[^/\s]+(/[^\s?#]*)?", url):
        raise ValueError(f"{url!r} is not an address like 'https://eodata.dataspace.copernicus.eu'")
    return url.rstrip("/")


class SceneAccess(Frozen):
    """How files of scenes are reached that lie on object stores and web servers; keys come from the environment."""

    unsigned: bool = False
    """Ask object stores without keys, as for public buckets."""
    profile: str = ""
    """Profile of the AWS configuration files whose keys are used, whatever keys the environment has."""
    endpoint_url: Annotated[str, AfterValidator(_endpoint)] = ""
    """Object store other than that of AWS, such as ``"https://eodata.dataspace.copernicus.eu"``."""
    region: str = ""
    """Region of the buckets, where neither environment nor profile tells it."""
    requester_pays: bool = False
    """Agree to pay for requests, for buckets that ask for it."""
    connect_timeout: Annotated[float, Field(gt=0)] = 10
    """Seconds within which a server must accept a connection."""
    timeout: Annotated[float, Field(gt=0)] = 30
    """Seconds without data after which a transfer is given up and tried again."""
    retries: Annotated[int, Field(ge=0)] = 3
    """Times that a request is repeated at once when a server is busy (429, 5xx)."""
    patience: Annotated[float, Field(ge=0)] = 300
    """Seconds that a server which does not answer is waited for before the tile fails."""
    concurrency: Annotated[int, Field(ge=1)] = 8
    """Remote files read at once; waiting for a server takes no processor."""

    @model_validator(mode="after")
    def _one_identity(self) -> SceneAccess:
        if self.unsigned and self.profile:
            raise ValueError("unsigned and profile exclude each other; remove one")
        return self


class Scenes(Frozen):
    """Where Sentinel-2 comes from."""

    catalogue: str
    """STAC API, file or folder of STAC items, static catalogue, or folder of SAFE products (docs/scenes.md)."""
    collection: str = "sentinel-2-l2a"
    """Collection asked for; items that name another one are left out."""
    boa_offset: Literal["auto", "none", "subtract"] = "auto"
    """Offset of processing baseline 04.00: by the items' metadata, never, or always subtracted."""
    bands: dict[str, str] = Field(default_factory=dict)
    """Asset keys for band names that metadata does not tell, such as ``{B02 = "image_blue"}``."""
    access: SceneAccess = SceneAccess()
    """How their files are reached."""

    @field_validator("bands")
    @classmethod
    def _known_bands(cls, value: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(name for name in value if name.upper() not in BANDS):
            raise ValueError(f"{', '.join(unknown)}: bands are named {', '.join(BANDS)}")
        return {name.upper(): key for name, key in value.items()}


class References(Frozen):
    """Reference layers of the previous production and of CLCplus Backbone."""

    imd_then: str | None = None
    """Imperviousness density, 0 to 100 percent."""
    ibu_then: str | None = None
    """Impervious built-up, 0 and 1."""
    clcplus_then: str | None = None
    """CLCplus Backbone of `then`."""
    clcplus_now: str | None = None
    """CLCplus Backbone of `now`."""
    footprints: tuple[str, ...] = ()
    """Building footprints: files, patterns and folders (docs/references.md); their union is used."""
    footprint_confidence: Annotated[float, Field(ge=0, le=1)] = 0
    """Lowest confidence of footprints that carry one, as those of Google do."""
    roads: tuple[str, ...] = ()
    """Roads of OpenStreetMap, for a proxy where CLCplus Backbone of `now` is missing (docs/proxy.md)."""
    buildings: tuple[str, ...] = ()
    """Buildings for the same; the footprints where none are named."""


class EngineSettings(Frozen):
    """How blocks are computed."""

    memory: Annotated[int, BeforeValidator(_bytes), Field(ge=2**28)] = 8 * 2**30
    """Memory to stay within, such as ``"8 GiB"``."""
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Blocks computed at once; by default as many as there are processors."""
    dask_address: str = ""
    """Address of a Dask scheduler; empty for threads of this process."""
    lease: Annotated[float, Field(ge=5)] = 120
    """Seconds after which others may take over the tile of a process that died on another machine."""


class Prices(Frozen):
    """What a machine costs, for `imperv plan`; nothing is asked for where nothing is given."""

    currency: str = "EUR"
    """Printed after amounts."""
    core_hour: Annotated[float, Field(ge=0)] = 0
    """One core for an hour."""
    gpu_hour: Annotated[float, Field(ge=0)] = 0
    """One GPU for an hour."""
    gigabyte_read: Annotated[float, Field(ge=0)] = 0
    """10^9 bytes of scenes over the network."""
    gigabyte_month: Annotated[float, Field(ge=0)] = 0
    """10^9 bytes in the store for a month."""

    @property
    def given(self) -> bool:
        """True if there is any price."""
        return bool(self.core_hour or self.gpu_hour or self.gigabyte_read or self.gigabyte_month)


class Production(BaseSettings):
    """One production, frozen. Made by `Production.read`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="IMPERV_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    tiles: tuple[str, ...] | Literal["eea38-2021", "eea38-2024"] = ()
    """Tile names or an official list; with `countries` or `aoi` those of them that these touch."""
    countries: Annotated[tuple[str, ...], AfterValidator(_countries)] = ()
    """ISO 3166 codes of EEA members and cooperating countries, such as ``["AT", "SI"]``."""
    aoi: str = ""
    """Vector file; tiles that its features touch."""
    store: str = "store"
    """Folder or object-store URL."""
    store_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the fsspec file system, such as an endpoint."""
    base: str = ""
    """Store of another production whose layers and models are read where they fit, and never written (`imperv rerun`)."""
    base_options: dict[str, Any] = Field(default_factory=dict)
    """Options of its file system."""
    periods: Periods
    area: Area | None = None
    scenes: Scenes
    references: References = References()
    engine: EngineSettings = EngineSettings()
    parameters: Parameters = Parameters()
    delivery: DeliverySettings = DeliverySettings()
    prices: Prices = Prices()
    watch: WatchSettings = WatchSettings()
    root: Path = Path()
    """Folder that relative paths are relative to: the production file's."""

    @field_validator("tiles", mode="before")
    @classmethod
    def _known_tiles(cls, value: object) -> object:
        if isinstance(value, str):
            if value not in EDITIONS:
                raise ValueError(f"{value!r} is no official list: write {' or '.join(EDITIONS)}, or a list of names")
            return value
        if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
            raise ValueError(f'{value!r} is not a list of names such as ["E43N32"]')
        return _tile_names(tuple(value))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment beats what the file says."""
        return Overrides(settings_cls), init_settings

    @classmethod
    def read(cls, path: str | Path) -> Production:
        """Read and validate a production file.

        Raises
        ------
        InputError
            One line for everything that is wrong with it.
        """
        file = Path(path)
        if file.is_dir():
            file = file / "production.toml"
        return cls.of(read_toml(file), file)

    @classmethod
    def of(cls, table: dict[str, Any], file: Path) -> Production:
        """Validate what a production file says, or would say; raises as `read`."""
        refuse_misspelt(cls)
        if "root" in table:
            raise InputError(f"{file}: root: unknown key; remove it")
        try:
            return cls(**table, root=file.resolve().parent)
        except ValidationError as error:
            raise InputError("\n".join(_explain(error, file, given(cls)))) from None

    @cached_property
    def tile_names(self) -> tuple[str, ...]:
        """All tiles of the production.

        Raises
        ------
        InputError
            If the file of the area cannot be used.
        """
        chosen = bool(self.countries or self.aoi)
        tiles = self.tiles or (NEWEST if chosen else ())
        names = official_tiles(tiles) if isinstance(tiles, str) else tuple(tiles)
        if self.countries:
            wanted = {name for code in self.countries for name in country_tiles(code)}
            names = tuple(name for name in names if name in wanted)
        if self.aoi:
            names = tiles_touched(self.path(self.aoi), names)
        return names

    def window(self, tile: Tile) -> tuple[float, float, float, float] | None:
        """[left, bottom, right, top] of the trial window for a tile, EPSG:3035; None for all of it."""
        return self.area.of(tile) if self.area else None

    def path(self, text: str) -> str:
        """A path or URL of the production file, relative ones from the file's folder."""
        return text if "://" in text or text.startswith("/vsi") else str((self.root / text).absolute())

    @property
    def store_url(self) -> str:
        """Where the store is."""
        return self.path(self.store)


def _explain(error: ValidationError, file: Path, variables: Mapping[str, tuple[str, ...]]) -> list[str]:
    """One line for each thing that pydantic found, with the file or the variable that it comes from."""
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "file"
        variable, parts = origin(item["loc"], variables)
        start = f"environment: {variable} ({where})" if variable else f"{file}: {where}"
        beside = f"; the environment sets {', '.join(parts)}" if parts else ""
        if item["type"] == "extra_forbidden":
            lines.append(f"{start}: unknown key{_hint([str(p) for p in item['loc']])}; remove it or correct its name")
        elif item["type"] == "missing":
            lines.append(f"{start}: is missing; add it")
        else:
            text = item["msg"].removeprefix("Value error, ")
            value = "" if item["type"] == "value_error" else f" (given: {_short(item.get('input'))})"
            lines.append(f"{start}: {text}{value}{beside}")
    return list(dict.fromkeys(lines))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _hint(path: list[str]) -> str:
    """A suggestion for a misspelt key."""
    model: Any = Production
    for part in path[:-1]:
        field = model.model_fields.get(part)
        model = part_of(field.annotation) if field else None
        if model is None:
            return ""
    close = difflib.get_close_matches(path[-1], model.model_fields, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def describe_bytes(count: float) -> str:
    """Amount of memory for people."""
    return format_bytes(int(count))
