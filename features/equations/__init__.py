"""Published risk equations: pure functions of named features that answer with a risk, or with the reason for none.

An equation for which no test vector outside this code base exists is not here.
"""

from __future__ import annotations

from collections.abc import Mapping

from features.equations.cha2ds2_vasc import CHA2DS2_VASC
from features.equations.kfre import KFRE
from features.equations.pce import PCE
from features.equations.prevent import PREVENT
from features.equations.protocol import Equation, EquationRisk

EQUATIONS: Mapping[str, Equation] = {equation.name: equation for equation in (*PREVENT, *PCE, *KFRE, *CHA2DS2_VASC)}

__all__ = ["EQUATIONS", "Equation", "EquationRisk"]
