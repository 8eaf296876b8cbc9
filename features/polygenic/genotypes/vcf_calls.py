"""Copies of an allele in one record of a VCF, person by person: DS, then GP, then GT."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.polygenic.genotypes.protocol import MISSING

ANY_OTHER = ("<NON_REF>", "<*>", "<X>")  # a gVCF's word for whatever else might be there: no allele of its own
DOSAGES = ("DS", "GP")


def counts(
    record: Any, calls: NDArray[np.int16] | None, *, allele: int, n_samples: int
) -> NDArray[np.int8] | NDArray[np.float32]:
    """Copies (sample,) of one allele in a record; missing where no field tells them.

    A haploid call, dosage or probability counts twice, as plink2 reads it.
    """
    hard = np.full(n_samples, MISSING, np.int8) if calls is None else called(calls, allele)
    dosage = _dosage(record, calls, allele=allele, n_samples=n_samples)
    if dosage is None:
        return hard
    return np.where(np.isnan(dosage), hard, dosage).astype(np.float32)


def called(calls: NDArray[np.int16], allele: int) -> NDArray[np.int8]:
    """Copies (sample,) of an allele from GT calls. A half-missing call is missing."""
    ploid = calls[:, :-1]
    copies = (ploid == allele).sum(axis=1)
    copies = np.where(_haploid(calls), copies * 2, copies)
    absent = (ploid == -1).any(axis=1)
    counted: NDArray[np.int8] = np.where(absent, MISSING, copies).astype(np.int8)
    return counted


def of_named(calls: NDArray[np.int16], n_named: int) -> NDArray[np.int16]:
    """The calls, missing where an allele is beyond the named ones: a placeholder, or an allele that the record does not
    list.
    """
    beyond = calls[:, :-1] > n_named
    if not beyond.any():
        return calls
    known = calls.copy()
    known[:, :-1][beyond] = -1
    return known


def reference_calls(record: Any) -> NDArray[np.int8]:
    """0 (sample,) for each person whom a record without alternates calls reference, else missing.

    Missing also without any read. GATK calls a stretch without reads 0/0 with GQ 0: nobody has then found that it is
    reference.
    """
    calls = record.genotype.array()[:, :-1]
    sure = (calls == 0).any(axis=1) & (calls <= 0).all(axis=1) & (calls != -1).all(axis=1)
    fields = record.FORMAT
    for name in ("GQ", "DP"):
        if name in fields:
            sure &= record.format(name)[:, 0] != 0
    reference: NDArray[np.int8] = np.where(sure, 0, MISSING).astype(np.int8)
    return reference


def _haploid(calls: NDArray[np.int16]) -> NDArray[np.bool_]:
    ploid = calls[:, :-1]
    haploid: NDArray[np.bool_] = (ploid == -2).any(axis=1) if ploid.shape[1] > 1 else np.ones(len(ploid), np.bool_)
    return haploid


def _dosage(record: Any, calls: NDArray[np.int16] | None, *, allele: int, n_samples: int) -> NDArray[np.float64] | None:
    """From DS (one for each alternate) and GP (two alleles only), nan where absent."""
    names = record.FORMAT
    dosage = np.full(n_samples, np.nan)
    haploid = np.zeros(n_samples, np.bool_) if calls is None else _haploid(calls)
    if "DS" in names:
        dosages = record.format("DS").astype(float)
        dosages[haploid] *= 2
        if allele > 0 and dosages.shape[1] >= allele:
            dosage = dosages[:, allele - 1]
        elif allele == 0 and dosages.shape[1] == len(record.ALT):
            dosage = 2 - dosages.sum(axis=1)  # nan where any of them is
    if "GP" in names and len(record.ALT) == 1:
        dosage = np.where(np.isnan(dosage), _expected(record.format("GP").astype(float), haploid), dosage)
    dosage = np.where((dosage > -1e-3) & (dosage < 2.001), np.clip(dosage, 0, 2), np.nan)
    return None if np.isnan(dosage).all() else dosage


def _expected(chances: NDArray[np.float64], haploid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Expected copies from the probabilities of 0/0, 0/1 and 1/1, or of 0 and 1."""
    diploid = chances[:, 1] + 2 * chances[:, 2] if chances.shape[1] == 3 else np.full(len(chances), np.nan)
    return np.where(haploid, 2 * chances[:, 1], diploid) if chances.shape[1] > 1 else diploid
