"""What a node of a graph is: one layer of a family, with what it is made from and how it is stored and delivered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from imperv.layers.palette import Palette

Kind = Literal["source", "reference", "feature", "model", "interim", "final"]

STAGES: dict[Kind, str] = {
    "source": "scenes", "feature": "features", "reference": "references", "model": "models",
    "interim": "layers", "final": "layers",
}  # fmt: skip
"""Column of `imperv status` of a layer that names none."""

MEMBER_SD = "sd"
"""Array of a prediction that holds the deviation of its members: both come from one pass of the models."""

Meanings = tuple[tuple[int, str], ...]
"""(code, class name)."""


@dataclass(frozen=True)
class Variable:
    """One stored array of a layer."""

    name: str
    dtype: str
    nodata: float
    axis: str = ""
    """Name of a leading axis, or empty."""
    labels: tuple[str, ...] = ()
    """Labels along that axis."""
    title: str = ""
    """CF long_name; empty where it is the layer's description."""
    units: str = ""
    """UDUNITS; empty where they are the layer's."""
    palette: Palette | None = None
    """Meanings and colours of its codes on maps; None where they are the layer's."""

    @property
    def bands(self) -> int:
        """Images along its axis; 1 without one."""
        return max(1, len(self.labels))


@dataclass(frozen=True)
class Delivery:
    """How a final layer is delivered, by the family's form."""

    palette: Palette | None = None
    """Codes, class names and colours; None for quantities that are not coded."""
    part: str = ""
    """EEA form: layer part of the file name, such as ``IMD``."""
    timing: str = ""
    """EEA form: ``S``, status of one year, or ``C``, change between two."""
    title: str = ""
    """COG form: title of the product; empty for the layer's description."""
    limits: tuple[float, float] | None = None
    """COG form: lowest and highest value that a quantity which is not coded may have."""
    scale: float = 1.0
    """COG form: factor from stored values to the quantity."""
    shown: tuple[tuple[str, tuple[str, ...]], ...] = field(default=(), repr=False)
    """COG form: (name, one band for grey, or three for colours) of its style, then of further ones; otherwise its first band."""
    own_classes: bool = field(default=False, repr=False)
    """COG form: codes, class names and colours may be those of the production file."""


@dataclass(frozen=True)
class Layer:
    """One node of a graph."""

    symbol: str
    """Name in the store, the plan and on the command line; unique among all families."""
    atbd: str
    """Symbol in the family's source document; empty for a node without one."""
    description: str
    """One line."""
    section: str
    """Section of the source document that defines it."""
    inputs: tuple[str, ...]
    """Symbols of the nodes it is made from; of another family too, whose finished layers are read."""
    kind: Kind
    """Place in the graph."""
    role: str
    """Which of the production's periods it describes: a name that the family's `[periods]` knows."""
    resolution: float = 0
    """Pixel size in metres (`imperv.grids.SPECS`); 0 where the node is not a raster."""
    dtype: str = "uint8"
    """Data type of the stored array."""
    nodata: float = 255
    """Value of pixels without data; NaN for floating point."""
    codes: tuple[int, ...] = ()
    """Valid codes of a coded layer."""
    parameters: tuple[str, ...] = ()
    """Parameters it depends on, as dotted names below ``[parameters]``; a whole group by its name."""
    version: int = 1
    """Algorithm version: raised when the same inputs would give other pixels."""
    delivery: Delivery | None = None
    """Set for final layers."""
    aliases: tuple[str, ...] = ()
    """Other spellings that are understood."""
    arrays: tuple[Variable, ...] = ()
    """Stored arrays, where these are not one array of the layer's name."""
    stored_as: str = ""
    """Name in the store where it is not the symbol: features of a year are the same in either role."""
    model_file: str = ""
    """File name of a model, of which there is one a tile, whatever the period: ``models/<name>/<tile>/<model_file>``."""
    any_period: bool = False
    """Of a model: whether it serves periods that it was not trained for."""
    stage: str = ""
    """Column of `imperv status`; that of its kind where none is named."""
    units: str = "1"
    """UDUNITS of a raster that is not coded; of a coded one ``%`` or nothing, by its codes."""
    meanings: Meanings = ()
    """Class names of a coded layer that is not delivered."""
    grid: Literal["eea", "utm"] = "eea"
    """Pixels in EPSG:3035, or on the native UTM grid of the tile's granules."""

    @property
    def stem(self) -> str:
        """Name in the store."""
        return self.stored_as or self.symbol

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The arrays that it is stored as; the first is the layer itself."""
        return self.arrays or (Variable(self.stem, self.dtype, self.nodata),)

    @property
    def column(self) -> str:
        """Column of `imperv status`."""
        return self.stage or STAGES[self.kind]

    @property
    def model_folder(self) -> str:
        """Folder of a model of all tiles; empty where it is none."""
        return f"models/{self.symbol.removesuffix('_model')}" if self.model_file else ""

    @property
    def title(self) -> str:
        """Title of the product; the description where none is given."""
        return (self.delivery.title if self.delivery else "") or self.description
