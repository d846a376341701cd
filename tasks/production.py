"""What a production is: periods, tiles, scenes, references, store, engine and parameters, read from one TOML file.

Command line beats environment (``IMPERV_ENGINE__WORKERS=4``) beats file. Unknown keys are refused. The parameter models
stand beside the functions that they steer.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from dask.utils import format_bytes, parse_bytes
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from calibration import CalibrationParameters
from grids import EDITIONS, Tile, official_tiles, snap_outward
from layers.change import ChangeParameters
from layers.change_mask import ChangeMaskParameters
from layers.proxy import ProxyParameters
from layers.unet import UNetParameters
from tasks.bands import BANDS
from tasks.delivery_settings import DeliverySettings
from tasks.errors import InputError
from tasks.periods import Period, pair_label


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _bytes(value: object) -> int:
    try:
        return int(parse_bytes(value))  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f"{value!r} is not an amount of memory like '8 GiB'") from None


def _area(bbox: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    snapped = snap_outward(bbox)
    if max(map(abs, bbox)) <= 360:
        raise ValueError(f"{list(bbox)} looks like degrees; EPSG:3035 metres are needed")
    return snapped


def _tile_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(Tile(name).name for name in names)


class Periods(_Model):
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


class Area(_Model):
    """A window for trials."""

    bbox: Annotated[tuple[float, float, float, float], AfterValidator(_area)]
    """[left, bottom, right, top] in EPSG:3035, snapped outward to whole kilometres."""


def _endpoint(url: str) -> str:
    if url and not re.fullmatch(r"https?://[^/\s]+(/[^\s?#]*)?", url):
        raise ValueError(f"{url!r} is not an address like 'https://eodata.dataspace.copernicus.eu'")
    return url.rstrip("/")


class SceneAccess(_Model):
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


class Scenes(_Model):
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
        if unknown := sorted(set(value) - set(BANDS)):
            raise ValueError(f"{', '.join(unknown)}: bands are named {', '.join(BANDS)}")
        return value


class References(_Model):
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


class EngineSettings(_Model):
    """How blocks are computed."""

    memory: Annotated[int, BeforeValidator(_bytes), Field(ge=2**28)] = 8 * 2**30
    """Memory to stay within, such as ``"8 GiB"``."""
    workers: Annotated[int, Field(ge=1)] = os.cpu_count() or 1
    """Blocks computed at once."""
    dask_address: str = ""
    """Address of a Dask scheduler; empty for threads of this process."""
    lease: Annotated[float, Field(ge=5)] = 120
    """Seconds after which others may take over the tile of a process that died on another machine."""


class PreprocessingParameters(_Model):
    """Yearly features (ATBD 4.2.1)."""

    min_observations: Annotated[int, Field(ge=1)] = 7
    """Overpasses a year below which a tile fails: as many as a cubic harmonic has coefficients."""
    max_gap_days: Annotated[int, Field(ge=1)] = 120
    """Days without a scene above which a period is refused: the winter of 71 degrees north, where the sun is too low."""
    min_clear: Annotated[int, Field(ge=0)] = 3
    """Clear observations (SCL weight 50) that a pixel needs to count as well observed."""
    min_valid_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of observed pixels that must be well observed; below it the tile fails."""
    max_lost_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of scenes that may be unreadable before the tile fails."""


class BuiltUpParameters(_Model):
    """Built-up mask (ATBD 4.4.2)."""

    threshold: Annotated[float, Field(ge=0, le=100)] = 10
    """Built-up density in percent from which a pixel is built-up."""


class EnsembleParameters(_Model):
    """Which models take part in a prediction (ATBD 4.7)."""

    members: Annotated[int, Field(ge=1)] = 10
    """Most predictions that are averaged."""
    reach: Annotated[float, Field(ge=0)] = 300
    """Distance in kilometres beyond which another tile's model does not take part."""
    accept: Literal["same", "compatible"] = "same"
    """Other tiles' models: only those trained with the same parameters, or all of the same version, features and year."""


class Parameters(_Model):
    """Parameters of every algorithm."""

    preprocessing: PreprocessingParameters = PreprocessingParameters()
    change_mask: ChangeMaskParameters = ChangeMaskParameters()
    unet: UNetParameters = UNetParameters()
    ensemble: EnsembleParameters = EnsembleParameters()
    proxy: ProxyParameters = ProxyParameters()
    calibration: CalibrationParameters = CalibrationParameters()
    built_up: BuiltUpParameters = BuiltUpParameters()
    change: ChangeParameters = ChangeParameters()

    def pick(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Values of dotted names such as ``change_mask.sieve``; a bare group name gives the whole group."""
        dump, found = self.model_dump(mode="json"), {}
        for name in names:
            group, _, key = name.partition(".")
            for item in [key] if key else dump[group]:
                found[f"{group}.{item}"] = dump[group][item]
        return found


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
    """Tile names or an official list."""
    store: str = "store"
    """Folder or object-store URL."""
    store_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the fsspec file system, such as an endpoint."""
    periods: Periods
    area: Area | None = None
    scenes: Scenes
    references: References = References()
    engine: EngineSettings = EngineSettings()
    parameters: Parameters = Parameters()
    delivery: DeliverySettings = DeliverySettings()
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
        return env_settings, init_settings

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
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror}); name a production file with --config") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: is not valid TOML: {error}") from None
        if "root" in table:
            raise InputError(f"{file}: root: unknown key; remove it")
        try:
            return cls(**table, root=file.resolve().parent)
        except SettingsError as error:
            raise InputError(f"environment: {error}; correct the IMPERV_ variable or remove it") from None
        except ValidationError as error:
            raise InputError("\n".join(f"{file}: {line}" for line in _explain(error))) from None

    @property
    def tile_names(self) -> tuple[str, ...]:
        """All tiles of the production."""
        return official_tiles(self.tiles) if self.tiles in EDITIONS else tuple(self.tiles)  # type: ignore[arg-type]

    @property
    def bbox(self) -> tuple[float, float, float, float] | None:
        """The trial window, or None."""
        return self.area.bbox if self.area else None

    def path(self, text: str) -> str:
        """A path or URL of the production file, relative ones from the file's folder."""
        return text if "://" in text or text.startswith("/vsi") else str((self.root / text).absolute())

    @property
    def store_url(self) -> str:
        """Where the store is."""
        return self.path(self.store)


def _explain(error: ValidationError) -> list[str]:
    """One line for each thing that pydantic found."""
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "file"
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key{_hint([str(p) for p in item['loc']])}; remove it or correct its name")
        elif item["type"] == "missing":
            lines.append(f"{where}: is missing; add it")
        else:
            text = item["msg"].removeprefix("Value error, ")
            given = "" if item["type"] == "value_error" else f" (given: {_short(item.get('input'))})"
            lines.append(f"{where}: {text}{given}")
    return list(dict.fromkeys(lines))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _hint(path: list[str]) -> str:
    """A suggestion for a misspelt key."""
    model: Any = Production
    for part in path[:-1]:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if model is None:
            return ""
    close = difflib.get_close_matches(path[-1], model.model_fields, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def describe_bytes(count: float) -> str:
    """Amount of memory for people."""
    return format_bytes(int(count))
