"""What a production is: periods, tiles, scenes, references, store, engine and parameters, read from one TOML file.

Command line beats environment (``IMPERV_ENGINE__WORKERS=4``) beats file. Unknown keys are refused. The parameter models
stand beside the functions that they steer.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
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
from imperv.layers.catalogue import CATALOGUE, DEFAULT, GraphError, family_of, layers_of, load
from imperv.layers.families import packages
from imperv.tasks.errors import InputError
from imperv.tasks.settings.areas import tiles_touched
from imperv.tasks.settings.delivery import DeliverySettings
from imperv.tasks.settings.frozen import Frozen, SettingError
from imperv.tasks.settings.overrides import Overrides, given, origin, part_of, refuse_misspelt
from imperv.tasks.settings.parameters import ParameterGroups
from imperv.tasks.settings.paths import PathText
from imperv.tasks.settings.periods import Periods
from imperv.tasks.settings.scenes import Scenes
from imperv.tasks.settings.toml_files import read_toml
from imperv.tasks.settings.watch import WatchSettings

PRODUCT_VARIABLE = "IMPERV_PRODUCT"

OF_PRODUCT = ("periods", "references", "parameters", "delivery")
"""Tables of a production file whose keys are those of its product."""


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
    """Prices of a machine, for `imperv plan`; all optional."""

    currency: str = "EUR"
    """Currency of all prices."""
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
    """One production, frozen. Made by `Production.read`, as the class that the file's product has for it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="IMPERV_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    product: str = DEFAULT
    """Product: a family of layers (`imperv graph --product`)."""
    tiles: tuple[str, ...] | Literal["eea38-2021", "eea38-2024"] = ()
    """Tile names or an official list; with `countries` or `aoi` those of them that these touch."""
    countries: Annotated[tuple[str, ...], AfterValidator(_countries)] = ()
    """ISO 3166 codes of EEA members and cooperating countries, such as ``["AT", "SI"]``."""
    aoi: PathText = ""
    """Vector file; tiles that its features touch."""
    store: PathText = "store"
    """Folder or object-store URL."""
    store_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the fsspec file system, such as an endpoint."""
    base: PathText = ""
    """Store of another production whose layers and models are read where they fit, and never written (`imperv rerun`)."""
    base_options: dict[str, Any] = Field(default_factory=dict)
    """Options of its file system."""
    periods: Any
    """Of the product: a model of `imperv.tasks.settings.periods`."""
    area: Area | None = None
    scenes: Scenes
    references: Any = Frozen()
    """Of the product."""
    engine: EngineSettings = EngineSettings()
    parameters: Any = ParameterGroups()
    """Of the product."""
    delivery: Any = DeliverySettings()
    """Of the product's form of delivery."""
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
        kind = production_class(product_of(table), f"{file}: product")
        refuse_misspelt(kind)
        if "root" in table:
            raise InputError(f"{file}: root: unknown key; remove it")
        try:
            return kind(**table, root=file.resolve().parent)
        except ValidationError as error:
            raise InputError("\n".join(_explain(error, file, kind))) from None

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
    def runs(self) -> str:
        """Folder of the store for what runs of the product leave: states, leases, logs, reports."""
        return f"runs/{self.product}"

    @property
    def store_url(self) -> str:
        """Where the store is."""
        return self.path(self.store)


def product_of(table: Mapping[str, Any]) -> object:
    """Product that a production file names, or the environment in its place."""
    return os.environ.get(PRODUCT_VARIABLE) or table.get("product", DEFAULT)


def production_class(product: object, where: str) -> type[Production]:
    """The class that reads production files of a product; its layers are in the catalogue afterwards.

    Raises
    ------
    InputError
        If there is no such product, or its graph cannot be.
    """
    known = packages()
    if not isinstance(product, str) or product not in known:
        close = difflib.get_close_matches(str(product).lower(), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"
        raise InputError(f"{where}: there is no product {product!r}; {hint}")
    try:
        load(str(product))
        found: type[Production] = import_module(f"{known[str(product)]}.settings").PRODUCTION
        _require_roles(str(product), found.model_fields["periods"].annotation)
    except (GraphError, ImportError) as error:
        raise InputError(f"{where}: {error}") from None
    return found


def _require_roles(family: str, periods: Any) -> None:
    """Raise GraphError unless the periods of a family have the roles of its layers and of those of others that it reads."""
    if not (isinstance(periods, type) and issubclass(periods, Periods)):
        return
    known = periods.known()
    for layer in layers_of(family).values():
        if layer.role not in known:
            raise GraphError(f"family {family}: {layer.symbol} has the role {layer.role!r}; its [periods] has {', '.join(known)}")
        for name in layer.inputs:
            other = CATALOGUE[name]
            if other.role not in known and not other.model_file:  # models are of a tile, whatever the period
                raise GraphError(
                    f"family {family}: {layer.symbol} reads {name} of {family_of(name)}, whose role is {other.role!r}; its "
                    f"[periods] has {', '.join(known)}; name one of them for it: "
                    f"roles = {{{other.role!r}: ({known[0]!r}, {known[0]!r})}}"
                )


def _explain(error: ValidationError, file: Path, model: type[Production]) -> list[str]:
    """One line for each thing that pydantic found, with the file or the variable that it comes from."""
    lines, variables = [], given(model)
    for item in error.errors():
        raised, loc = item.get("ctx", {}).get("error"), item["loc"]
        if isinstance(raised, SettingError):
            loc = tuple(raised.key.split("."))
        where = ".".join(str(part) for part in loc) or "file"
        variable, parts = origin(loc, variables)
        start = f"environment: {variable} ({where})" if variable else f"{file}: {where}"
        beside = f"; the environment sets {', '.join(parts)}" if parts else ""
        if item["type"] == "extra_forbidden":
            path = [str(p) for p in item["loc"]]
            product = f" of product {model.model_fields['product'].default}" if path[0] in OF_PRODUCT else ""
            lines.append(f"{start}: unknown key{product}{_hint(path, model)}; remove it or correct its name")
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


def _hint(path: list[str], model: Any) -> str:
    """A suggestion for a misspelt key."""
    for part in path[:-1]:
        field = model.model_fields.get(part)
        model = part_of(field.annotation) if field else None
        if model is None:
            return ""
    close = difflib.get_close_matches(path[-1], model.model_fields, n=1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""


def memory_of(text: str) -> int:
    """Bytes of the option --memory; InputError for what is no amount of memory."""
    try:
        return EngineSettings.model_validate({"memory": text}).memory
    except ValueError:
        raise InputError(f"--memory: {text!r} is not an amount of memory like '8 GiB'") from None


def describe_bytes(count: float) -> str:
    """Amount of memory as text."""
    return format_bytes(int(count))
