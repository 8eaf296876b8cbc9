"""The catalogue: every feature declared once, validated, documented, hashed into bundles."""

from features.catalogue.catalogue import FAMILIES, Catalogue, catalogue, dense_families, of_names
from features.catalogue.spec import FeatureSpec

__all__ = ["FAMILIES", "Catalogue", "FeatureSpec", "catalogue", "dense_families", "of_names"]
