"""Arrays of the features of a year, whichever product reads them (`tasks.yearly`)."""

from imperv.layers.catalogue.node import Variable
from imperv.layers.features import HARMONIC_NAMES, QUANTILE_BANDS

_NAN = float("nan")

YEARLY_FEATURES = (
    Variable("quantiles", "uint16", 0, "band", tuple(f"{band}_q20" for band in QUANTILE_BANDS),
             "20 % quantile of surface reflectance", "1e-4"),
    Variable("ndvi_q90", "float32", _NAN, title="90 % quantile of NDVI", units="1"),
    Variable("harmonics", "float32", _NAN, "coefficient", HARMONIC_NAMES, "Coefficients of the NDVI harmonics", "1"),
    Variable("observations", "uint16", 0, title="Clear observations", units="1"),
)  # fmt: skip
