"""Arrays by what they hold; their shape stands in the docstring that names them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]  # as features are kept
Ints = npt.NDArray[np.int64]
Positions = npt.NDArray[np.intp]  # within an axis, as NumPy gives them
Bools = npt.NDArray[np.bool_]
Strings = npt.NDArray[np.object_]  # of str, None where there is none
Moments = npt.NDArray[np.datetime64]
