"""VCF and BCF, read once by htslib: calls and dosages of the wanted sites.

A VCF that lists only variants does not say that the other sites are reference. They count as reference where a gVCF
block or a record without alternate calls them so, where a BED of callable regions covers them, or where the user
says so; and only if something says which allele the reference is (the record itself, a frequency file, an ancestry
reference). All others stay unmatched.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from cyvcf2 import VCF
from cyvcf2.cyvcf2 import set_htslib_log_level
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic.columns import Alleles, Variants, build_of_header, chromosome_code
from features.polygenic.genotypes.protocol import Samples, Sites
from features.polygenic.genotypes.request import AllelePairs, Request, check_references, covered
from features.polygenic.genotypes.spool import GenotypeSpool
from features.polygenic.genotypes.vcf_calls import (
    ANY_OTHER,
    DOSAGES,
    called,
    counts,
    of_named,
    reference_calls,
)
from features.polygenic.genotypes.vcf_text import MAX_SAMPLES, NotPlainError, PlainRecords, member, read_text
from features.polygenic.genotypes.vcf_whole import check_end, check_sample_names, vcf_samples

_POSITION_BITS = 32
_PENDING = 4096  # records
_LAST = 1 << 62
_TELLING = 50  # records from which on it can be told whether only variants are listed
_FEW_REFERENCE = 0.02  # of them with somebody who is reference; a person's common sites are so in a third or more
_DECLARE = 'add ##FORMAT=<ID=DS,Number=A,Type=Float,Description="dosage"> (or GP, Number=G) to the header'
set_htslib_log_level(0)  # what is wrong with a file is told once, in our words


@dataclass(slots=True)
class _Columns:
    """Variants as they are found, one entry for each alternate."""

    keys: list[int] = field(default_factory=list)
    ref: list[int] = field(default_factory=list)
    alt: list[int] = field(default_factory=list)
    row: list[int] = field(default_factory=list)
    allele: list[int] = field(default_factory=list)
    several: list[bool] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    number: list[int] = field(default_factory=list)  # of the record, which orders them

    def table(self, plain: PlainRecords | None) -> Variants:
        """The variants of these columns and of the plain records, in the order of the file."""
        own = self._own()
        if plain is None:
            return own
        n = len(plain.keys)
        first = Variants(
            keys=plain.keys,
            ref=plain.ref,
            alt=plain.alt,
            file=np.zeros(n, np.int32),
            row=np.arange(n),
            allele=np.ones(n, np.int32),
            multiallelic=np.zeros(n, np.bool_),
            ids=plain.ids,
        )
        if not len(own):
            return first
        together = Variants.concatenate([first, own])
        return together.take(np.argsort(np.concatenate([plain.number, np.array(self.number)]), kind="stable"))

    def _own(self) -> Variants:
        n = len(self.keys)
        return Variants(
            keys=np.array(self.keys, np.int64),
            ref=np.array(self.ref, np.int32),
            alt=np.array(self.alt, np.int32),
            file=np.zeros(n, np.int32),
            row=np.array(self.row, np.int64),
            allele=np.array(self.allele, np.int32),
            multiallelic=np.array(self.several, np.bool_),
            ids=pa.array(self.ids, pa.string()),
        )


class Vcf:
    """The genotypes of a VCF or BCF, read whole.

    One of several files of the same people (not `alone`) is told by `add_reference` which sites the other files list.
    Raises PresageError where the file is cut short, damaged or has no samples, or where a record does not fit them.
    """

    n_records: int
    variants: Variants
    has_dosages: bool

    def __init__(self, path: Path, alleles: Alleles, *, request: Request, alone: bool = True) -> None:
        check_end(path)
        try:
            source = VCF(str(path), gts012=True)
        except Exception as error:  # cyvcf2 raises bare exceptions for a header it cannot parse
            check_sample_names(path)
            raise PresageError(
                str(path),
                "a VCF or BCF file",
                found="a header that is none of theirs",
                way_out="export the genotypes again",
            ) from error
        self.name: str = str(path)
        self.samples: Samples = vcf_samples(path, source.samples)
        self.build: str | None = build_of_header(source.raw_header.splitlines(), where=str(path))
        self._alleles = alleles
        self._wanted = request.wanted(self.build)
        self._find_known = request.known
        self._only_calls = not _dosage_fields(source)
        self._start()
        self._plain: PlainRecords | None = self._read_text(path, source.raw_header)
        if self._plain is None:
            self._spool.close()
            self._start()
            self.n_records = self._read(path, source)
        self._flush()
        if alone:
            self.add_reference(request)

    def _start(self) -> None:
        self._columns = _Columns()
        self._unnamed: list[int] = []  # sites listed with alternates that have no letters
        self._spool = GenotypeSpool(len(self.samples))
        self._first: list[int] = []  # spool number of each record's first row
        self._pending: list[NDArray[np.int16]] = []
        self._reference: dict[int, NDArray[np.int8]] = {}
        self._told: list[tuple[int, int, int]] = []
        self._seen = np.zeros(2, np.int64)  # records of one alternate: all, and those that call somebody reference
        self.n_records = 0

    @cached_property
    def _known(self) -> AllelePairs:
        """Sites whose reference allele is known: asked for where something is called reference."""
        return self._find_known()

    def _read_text(self, path: Path, header: str) -> PlainRecords | None:
        """Of a few samples' calls: the plain records as text, the others by htslib. None where the text is no table."""
        if not self._only_calls or len(self.samples) > MAX_SAMPLES or path.name.lower().endswith(".bcf"):
            return None
        with tempfile.NamedTemporaryFile(prefix="presage-records-", suffix=".vcf") as aside:
            try:
                records = read_text(
                    path,
                    header,
                    n_samples=len(self.samples),
                    wanted=self._wanted.keys,
                    alleles=self._alleles,
                    aside=aside.file,
                )
                self._note(records.plain.counts)
                self._spool.add_block(records.plain.counts)
                self._first += range(len(records.plain.counts))
                if len(records.others):
                    self._read(Path(aside.name), VCF(aside.name, gts012=True), numbers=records.others)
            except (NotPlainError, PresageError):
                return None
        self.n_records = records.n_records
        return records.plain

    def reader(self) -> VcfSites:
        """A reader of the calls that were kept."""
        return VcfSites(self._spool, np.array(self._first, np.int64), variants=self.variants)

    def close(self) -> None:
        """Let go of the calls that were kept."""
        self._spool.close()

    def _read(self, path: Path, source: Any, *, numbers: NDArray[np.int64] | None = None) -> int:
        """Keep the wanted records; what homozygous reference blocks say of the others. `numbers`: of the records."""
        wanted = set(self._wanted.keys.tolist())
        columns = self._columns
        chromosomes: dict[str, int] = {}
        number = 0
        try:
            for record in source:
                number += 1
                name = record.CHROM
                if name not in chromosomes:
                    chromosomes[name] = chromosome_code(name) << _POSITION_BITS
                key = chromosomes[name] | record.POS
                alts = record.ALT
                if not alts or alts[0] in ANY_OTHER:
                    self._keep_block(record, key)
                elif key in wanted:
                    self._keep(record, key, alts=[alt for alt in alts if alt not in ANY_OTHER])
                    place = number - 1 if numbers is None else int(numbers[number - 1])
                    columns.number += [place] * (len(columns.keys) - len(columns.number))
        except Exception as error:
            raise PresageError(
                f"{path}, record {number + 1}",
                "a whole record",
                found="a damaged one, or one cut short",
                way_out="export it again",
            ) from error
        if self._only_calls and _dosage_fields(source):  # htslib notes what it met
            raise PresageError(
                f"{path}, header",
                f"a declaration of {' or '.join(DOSAGES)}, which its records have",
                found="none",
                way_out=_DECLARE,
            )
        return number

    def _keep(self, record: Any, key: int, *, alts: list[str]) -> None:
        """`alts`: without a gVCF's placeholder."""
        named = [(allele, alt) for allele, alt in enumerate(alts, start=1) if alt[0] not in "<*"]
        if not named:
            self._unnamed.append(key)
            return
        row, several = len(self._first), len(alts) > 1
        if several or not self._only_calls or "GT" not in record.FORMAT:
            self._flush()
            calls = of_named(record.genotype.array(), len(alts)) if "GT" in record.FORMAT else None
            n = len(self.samples)
            rows = [counts(record, calls, allele=k, n_samples=n) for k in range(0 if several else 1, len(alts) + 1)]
            if not several:
                self._note(rows[0][None])
            numbers = [self._spool.add(copies) for copies in rows]
            self._first.append(numbers[0])
        else:
            calls = record.genotype.array()
            if self._pending and self._pending[0].shape != calls.shape:
                self._flush()
            self._pending.append(calls)
            self._first.append(self._spool.length + len(self._pending) - 1)
            if len(self._pending) == _PENDING:
                self._flush()
        columns = self._columns
        for allele, alt in named:
            columns.keys.append(key)
            columns.ref.append(self._alleles.code(record.REF))
            columns.alt.append(self._alleles.code(alt))
            columns.row.append(row)
            columns.allele.append(allele)
            columns.several.append(several)
            columns.ids.append(record.ID or ".")

    def _flush(self) -> None:
        """Records of two alleles and calls only are turned into counts together."""
        if self._pending:
            stacked = np.stack(self._pending)
            self._pending = []
            calls = of_named(stacked.reshape(-1, stacked.shape[2]), 1)
            copies = called(calls, 1).reshape(stacked.shape[:2])
            self._note(copies)
            self._spool.add_block(np.ascontiguousarray(copies))

    def _note(self, rows: NDArray[np.int8] | NDArray[np.float32]) -> None:
        self._seen += len(rows), ((rows >= 0) & (rows < 0.5)).any(axis=1).sum()

    def _keep_block(self, record: Any, key: int) -> None:
        """A gVCF block or a record without alternate: reference for whoever is called so."""
        last = key - record.POS + int(record.INFO.get("END") or record.POS)
        here, exact = self._known.between(key, last), self._wanted.between(key, key)
        if here.start == here.stop and exact.start == exact.stop:
            return
        calls = reference_calls(record)
        for known in self._known.keys[here].tolist():
            self._reference[known] = calls
        if exact.start < exact.stop:
            self._reference[key] = calls
            ref = self._alleles.code(record.REF[:1])
            for first, second in zip(
                self._wanted.first[exact].tolist(), self._wanted.second[exact].tolist(), strict=True
            ):
                alternate = second if ref == first else first  # a row without other allele: -1
                if alternate >= 0 and (ref in (first, second) or second < 0):
                    self._told.append((key, ref, alternate))

    def said(self) -> NDArray[np.int64]:
        """The sites about which a record says something: sites that are listed, or called reference."""
        plain = self._plain.keys if self._plain is not None else np.empty(0, np.int64)
        others = [*self._columns.keys, *self._unnamed, *self._reference]  # columns: with what was added
        return np.unique(np.concatenate([plain, np.array(others, np.int64)]))

    def add_reference(self, request: Request, elsewhere: NDArray[np.int64] | None = None) -> None:
        """Add the sites that no record lists but that are reference, with the alleles that are known of them.

        `elsewhere`: sites about which other files of the set say something, sorted: nothing is assumed of them here.
        """
        if request.assume_reference or request.callable_bed is not None or self._reference or self._told:
            self._add_absent(request, np.empty(0, np.int64) if elsewhere is None else elsewhere)
        self._spool.finish()
        self.variants = self._columns.table(self._plain)
        self.has_dosages = self._spool.has_dosages

    def _add_absent(self, request: Request, elsewhere: NDArray[np.int64]) -> None:
        known, columns = self._known, self._columns
        listed = np.array([*columns.keys, *self._unnamed], np.int64)
        if self._plain is not None:
            listed = np.concatenate([self._plain.keys, listed])
            check_references(self.name, self._plain.keys, ref=self._plain.ref, alt=self._plain.alt, known=known)
        else:
            ref, alt = (np.array(codes, np.int32) for codes in (columns.ref, columns.alt))
            check_references(self.name, np.array(columns.keys, np.int64), ref=ref, alt=alt, known=known)
        told = np.array(self._told, np.int64).reshape(-1, 3)
        pairs = AllelePairs.of(
            [
                (known.keys, known.first, known.second),
                (told[:, 0], told[:, 1].astype(np.int32), told[:, 2].astype(np.int32)),
            ]
        )
        absent = ~member(np.sort(listed), pairs.keys) & member(self._wanted.keys, pairs.keys)
        everywhere = np.zeros(len(self.samples), np.int8)
        open_keys = np.full(len(pairs.keys), request.assume_reference)
        if request.callable_bed is not None:
            open_keys |= covered(pairs.keys, request.callable_bed)
        open_keys &= ~member(elsewhere, pairs.keys)
        for place in np.flatnonzero(absent).tolist():
            key = int(pairs.keys[place])
            calls = self._reference.get(key, everywhere if open_keys[place] else None)
            if calls is None:
                continue
            columns.keys.append(key)
            columns.ref.append(int(pairs.first[place]))
            columns.alt.append(int(pairs.second[place]))
            columns.row.append(len(self._first))
            columns.allele.append(1)
            columns.several.append(False)
            columns.ids.append("reference")
            columns.number.append(_LAST)
            self._note(calls[None])
            self._first.append(self._spool.add(calls))

    @property
    def only_variants(self) -> bool:
        """Whether sites at which nobody differs from the reference are hardly listed: they are then missing, and not by
        chance.
        """
        return bool(self._seen[0] >= _TELLING and self._seen[1] < _FEW_REFERENCE * self._seen[0])


class VcfSites:
    """Reads the calls that were kept of a VCF."""

    def __init__(self, spool: GenotypeSpool, first: NDArray[np.int64], *, variants: Variants) -> None:
        self._spool = spool
        self._first = first
        several = np.zeros(len(first), np.bool_)
        several[variants.row] = variants.multiallelic
        self._several = several

    def read(self, sites: Sites, out: NDArray[np.int8]) -> None:
        """Read allele counts (site, sample), -9 where missing."""
        self._spool.read(self._numbers(sites), out)

    def read_dosages(self, sites: Sites, out: NDArray[np.float32]) -> None:
        """Read expected allele counts (site, sample), -9 where missing."""
        self._spool.read(self._numbers(sites), out)

    def _numbers(self, sites: Sites) -> NDArray[np.int64]:
        """A record of several alternates keeps its reference allele first."""
        return self._first[sites.row] + sites.allele - np.where(self._several[sites.row], 0, 1)

    def close(self) -> None:
        """Do nothing: no file is held open."""


def _dosage_fields(source: Any) -> bool:
    header = source.raw_header
    return any(f"##FORMAT=<ID={name}," in header for name in DOSAGES)
