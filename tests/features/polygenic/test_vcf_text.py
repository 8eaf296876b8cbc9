"""A VCF of few samples is read as text where it is plain; htslib alone reads the same."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from features.polygenic.columns.variants import Alleles
from features.polygenic.genotypes import AllelePairs, Request, vcf, vcf_text
from features.polygenic.genotypes.protocol import Sites
from features.polygenic.genotypes.vcf import Vcf
from features.polygenic.prs import prs
from features.polygenic.run import Settings

HEAD = '##fileformat=VCFv4.2\n##FILTER=<ID=PASS,Description="all">\n##contig=<ID=1>\n##contig=<ID=chr2>\n'
HEAD += '##INFO=<ID=END,Number=1,Type=Integer,Description="end">\n##ALT=<ID=NON_REF,Description="any">\n'
HEAD += (
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="call">\n##FORMAT=<ID=DP,Number=1,Type=Integer,Description="n">\n'
)
CALLS = ("0/0", "0/1", "1|0", "1/1", "./.", ".", "1", "0", "0/.", ".|1", "0/2", "0/9")
ALTERNATES = ("C", "C", "C", "g", "CT", "C,G", "C,<NON_REF>", "<NON_REF>", ".", "*", "<DEL>")


@st.composite
def texts(draw):
    """Records at few positions, so that several share one."""
    n_samples = draw(st.integers(1, 3))
    records = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["1", "chr2"]),
                st.integers(1, 30),
                st.sampled_from(["A", "T", "AC"]),
                st.sampled_from(ALTERNATES),
                st.sampled_from(["GT", "GT:DP"]),
                st.lists(st.sampled_from(CALLS), min_size=n_samples, max_size=n_samples),
            ),
            min_size=1,
            max_size=25,
        )
    )
    records.sort(key=lambda record: (record[0] != "1", record[1]))
    names = "\t".join(f"P{number}" for number in range(n_samples))
    lines = [f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}"]
    for number, (chromosome, position, ref, alt, fields, calls) in enumerate(records):
        name = f"r{number}" if number % 2 else "."
        cells = "\t".join(call + (":7" if fields == "GT:DP" else "") for call in calls)
        end = f"END={position + 3}" if alt in ("<NON_REF>", ".") else "."
        lines.append(f"{chromosome}\t{position}\t{name}\t{ref}\t{alt}\t.\tPASS\t{end}\t{fields}\t{cells}")
    return HEAD + "\n".join(lines) + "\n"


def read(path, *, by_htslib: bool):
    """Every variant in order, and its counts."""
    alleles = Alleles()
    keys = np.sort(np.concatenate([(chromosome << 32) + np.arange(1, 28) for chromosome in (1, 2)]))
    codes = [np.full(len(keys), alleles.code(letter), np.int32) for letter in "AC"]
    pairs = AllelePairs.of([(keys, *codes)])
    most = vcf.MAX_SAMPLES
    try:
        vcf.MAX_SAMPLES = 0 if by_htslib else most
        file = Vcf(path, alleles, request=Request(lambda _: pairs, lambda: pairs))
    finally:
        vcf.MAX_SAMPLES = most
    variants = file.variants
    counts = np.zeros((len(variants), len(file.samples)), np.float32)
    file.reader().read_dosages(Sites(variants.row, variants.allele), counts)
    names = [alleles.names[code] for code in [*variants.ref, *variants.alt]]
    found = [variants.keys.tolist(), names, variants.multiallelic.tolist(), variants.ids.to_pylist(), counts.tolist()]
    return found, file.n_records


@given(texts())
@settings(max_examples=60, deadline=None)
def test_text_and_htslib_read_the_same(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("vcf") / "a.vcf"
    path.write_text(text)
    assert read(path, by_htslib=False) == read(path, by_htslib=True)


def test_pieces_that_cut_lines_and_gzip_change_nothing(tmp_path, monkeypatch):
    lines = [f"1\t{k}\t.\tA\tC\t.\tPASS\t.\tGT\t{CALLS[k % 4]}" for k in range(1, 26)]
    text = HEAD + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tP\n" + "\n".join(lines) + "\n"
    (tmp_path / "a.vcf").write_text(text)
    with gzip.open(tmp_path / "a.vcf.gz", "wt") as stream:
        stream.write(text)
    whole = read(tmp_path / "a.vcf", by_htslib=True)
    monkeypatch.setattr(vcf_text, "_PIECE", 37)
    assert read(tmp_path / "a.vcf", by_htslib=False) == whole
    assert read(tmp_path / "a.vcf.gz", by_htslib=False) == whole


def test_a_plain_vcf_is_read_without_htslibs_records(tmp_path, monkeypatch):
    """Else nothing would be gained."""
    lines = [f"1\t{k}\t.\tA\tC\t.\tPASS\t.\tGT\t0/1" for k in range(1, 11)]
    (tmp_path / "a.vcf").write_text(
        HEAD + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tP\n" + "\n".join(lines) + "\n"
    )
    score = "chr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\n"
    (tmp_path / "s.txt").write_text(score + "".join(f"1\t{k}\tC\tA\t0.5\n" for k in range(1, 11)))
    monkeypatch.setattr(Vcf, "_keep", None)
    prs(tmp_path / "a.vcf", [tmp_path / "s.txt"], out=tmp_path / "out.parquet", settings=Settings())
    assert pq.read_table(tmp_path / "out.parquet")["sum"].to_pylist() == [5.0]
