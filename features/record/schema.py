"""The record's tables: MEDS events and the genomic tables beside them, as Arrow schemas."""

from __future__ import annotations

import pyarrow as pa

TIME = pa.timestamp("us")

EVENTS = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("time", TIME),  # null: a static fact
        pa.field("code", pa.string(), nullable=False),
        pa.field("numeric_value", pa.float32()),
        pa.field("text_value", pa.large_string()),
        pa.field("available_time", TIME),  # latest plausible moment at which the fact was known
        pa.field("unit", pa.string()),
    ]
)

# As the record keeps them: a fact may have been coded in several vocabularies, and what one row says stays with that
# row. `code` is one of its codings, `codings` are the others (sorted; null where there are none). In EVENTS, which
# features read, `code` is the key of all of a fact's codings: see `features.record.facts`.
ROWS = EVENTS.append(pa.field("codings", pa.list_(pa.string())))

CODES = pa.schema(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("description", pa.string()),
        pa.field("parent_codes", pa.list_(pa.string())),
    ]
)

# Every ancestor of a code, the code itself not included; what code lists with descendants are expanded by.
ANCESTORS = pa.schema([pa.field("code", pa.string()), pa.field("ancestor", pa.string())])

# Kept apart from the features: only the doors that speak with the outside read it.
IDENTITY = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # omop, fhir, genotypes, ...
        pa.field("source_id", pa.string(), nullable=False),
    ]
)

# One row per person and score. `available_time` null: known always; no door writes that.
# `not_scored` holds the reason when `z` is withheld or the score could not be computed.
POLYGENIC = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("score_id", pa.string(), nullable=False),
        pa.field("sum", pa.float64()),
        pa.field("z", pa.float64()),  # ancestry-adjusted (mean and variance)
        pa.field("percentile", pa.float64()),  # 0 to 100, of the reference
        pa.field("matched_weight", pa.float64()),  # share of total absolute weight, 0 to 1
        pa.field("n_alleles", pa.int64()),
        pa.field("ancestry_group", pa.string()),
        pa.field("ancestry_probability", pa.float64()),
        pa.field("reference", pa.string()),
        pa.field("not_scored", pa.string()),
        pa.field("available_time", TIME),
    ]
)

# One row per reported variant. A negative report has no row here; it has rows in COVERAGE.
FINDINGS = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("gene_hgnc", pa.string()),  # HGNC:6547
        pa.field("gene_symbol", pa.string()),  # LDLR
        pa.field("variant", pa.string()),  # HGVS
        pa.field("zygosity", pa.string()),  # heterozygous, homozygous, hemizygous
        pa.field("classification", pa.string()),  # pathogenic, likely pathogenic, uncertain significance, ...
        pa.field("condition_mondo", pa.string()),  # MONDO:0007750
        pa.field("condition", pa.string()),
        pa.field("laboratory", pa.string()),
        pa.field("report_id", pa.string()),
        pa.field("status", pa.string()),  # final, amended, corrected
        pa.field("time", TIME),
        pa.field("available_time", TIME),
    ]
)

# One row per gene a report looked at, whatever it found: "not tested" is the absence of a row here.
COVERAGE = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("gene_hgnc", pa.string()),
        pa.field("gene_symbol", pa.string()),
        pa.field("result", pa.string()),  # positive, negative, inconclusive
        pa.field("limitation", pa.string()),  # what the assay cannot see in this gene
        pa.field("laboratory", pa.string()),
        pa.field("report_id", pa.string()),
        pa.field("time", TIME),
        pa.field("available_time", TIME),
    ]
)

DIPLOTYPES = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("gene_symbol", pa.string()),
        pa.field("diplotype", pa.string()),
        pa.field("phenotype", pa.string()),
        pa.field("laboratory", pa.string()),
        pa.field("time", TIME),
        pa.field("available_time", TIME),
    ]
)

GENOMIC = {"polygenic": POLYGENIC, "findings": FINDINGS, "coverage": COVERAGE, "diplotypes": DIPLOTYPES}
