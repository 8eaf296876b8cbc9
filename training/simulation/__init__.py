"""A synthetic health system with genomics and known truth, for everyone who may not share data."""

from __future__ import annotations

from training.simulation.world import simulate

__all__ = ["simulate"]
