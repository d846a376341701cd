"""Calibration of imperviousness densities on the previous production; ATBD 4.3.2.

Arrays in, arrays and one small record out. Which tile borrows whose calibration is decided where tiles are known.
"""

from imperv.calibration.apply import apply_calibration
from imperv.calibration.fit import (
    Calibration,
    CalibrationError,
    CalibrationParameters,
    Samples,
    collect_samples,
    fit_calibration,
    fit_samples,
)
from imperv.calibration.mask import sealing_mask

__all__ = [
    "Calibration",
    "CalibrationError",
    "CalibrationParameters",
    "Samples",
    "apply_calibration",
    "collect_samples",
    "fit_calibration",
    "fit_samples",
    "sealing_mask",
]
