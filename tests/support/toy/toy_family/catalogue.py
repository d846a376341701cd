"""The layers: from scenes of a month to a coded map."""

from imperv.layers.catalogue.node import Delivery, Layer, Variable
from imperv.layers.palette import Palette

BANDS = ("B04", "B08")

GROUND = Palette(
    codes=(0, 1, 2),
    colours=tuple({1: (220, 200, 160), 2: (40, 140, 60)}.get(code, (0, 0, 0)) for code in range(256)),
    class_names=((0, "no data"), (1, "other ground"), (2, "green")),
)

LAYERS = (
    Layer("TOY_S2", "", "Frozen list of Sentinel-2 L2A scenes of a month", "1", (), "source", "month"),
    Layer(
        "TOY_mosaic", "", "Median of the clear looks of a month, red and near infrared", "2", ("TOY_S2",), "feature", "month", 5,
        "uint16", 0, arrays=(Variable("TOY_mosaic", "uint16", 0, "band", BANDS),), parameters=("mosaic",),
        delivery=Delivery(title="Mosaic of a month", limits=(1, 65535), scale=1e-4),
    ),
    Layer(
        "TOY_model", "", "NDVI that parts green from other ground", "3", ("TOY_mosaic",), "model", "month",
        model_file="model.data.json",
    ),
    Layer(
        "TOY_map", "", "Green and other ground", "4", ("TOY_mosaic", "TOY_model"), "final", "month", 5, "uint8", 0,
        codes=(0, 1, 2), parameters=("green.more",), delivery=Delivery(GROUND, title="Green ground"),
    ),
)  # fmt: skip
