"""FHIR R4 into the record: bulk exports and bundles."""

from __future__ import annotations

from features.sources.fhir.run import SOURCE, ingest

__all__ = ["SOURCE", "ingest"]
