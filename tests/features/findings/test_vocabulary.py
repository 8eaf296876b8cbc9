from __future__ import annotations

import pytest

from features.findings import vocabulary


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Pathogenic", "pathogenic"),
        ("Likely Pathogenic", "likely pathogenic"),
        ("likely_pathogenic", "likely pathogenic"),
        ("Pathogenic/Likely pathogenic", "likely pathogenic"),
        ("5 - Pathogenic", "pathogenic"),
        ("Class 5", "pathogenic"),
        ("Class 4: likely pathogenic", "likely pathogenic"),
        ("LP", "likely pathogenic"),
        ("VUS", "uncertain significance"),
        ("Variant of Uncertain Significance", "uncertain significance"),
        ("Class 3", "uncertain significance"),
        ("Likely benign", "likely benign"),
        ("Benign/Likely benign", "likely benign"),
        ("benign", "benign"),
        ("Conflicting interpretations of pathogenicity", "conflicting classifications"),
        ("risk allele", None),
        ("not pathogenic", None),
        ("", None),
        (None, None),
    ],
)
def test_classifications_in_the_words_of_laboratories(words: str | None, expected: str | None) -> None:
    assert vocabulary.classification(text=words) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("LA6668-3", "pathogenic"),
        ("LA26332-9", "likely pathogenic"),
        ("LA26333-7", "uncertain significance"),
        ("LA26334-5", "likely benign"),
        ("LA6675-8", "benign"),
    ],
)
def test_classifications_as_loinc_answers(code: str, expected: str) -> None:
    assert vocabulary.classification(code=code, text="whatever the display says") == expected


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        ("LA6706-1", None, "heterozygous"),
        ("LA6705-3", None, "homozygous"),
        ("LA6707-9", None, "hemizygous"),
        (None, "HET", "heterozygous"),
        (None, "Homozygous", "homozygous"),
        (None, "T/T", None),
    ],
)
def test_zygosity(code: str | None, words: str | None, expected: str | None) -> None:
    assert vocabulary.zygosity(code=code, text=words) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("final", "final"),
        ("F", "final"),
        ("C", "corrected"),
        ("amended", "amended"),
        ("appended", "amended"),
        ("W", "entered-in-error"),
        ("cancelled", "entered-in-error"),
        ("preliminary", "preliminary"),
        ("sent", None),
        (None, None),
    ],
)
def test_status(word: str | None, expected: str | None) -> None:
    assert vocabulary.status(word) == expected


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        ("LA6683-2", "Germline", "germline"),
        ("LA6684-0", "Somatic", "somatic"),
        ("LA18197-6", None, "of unknown origin"),
        (None, "Germline", "germline"),
        (None, "tumour", "tumour"),
        (None, None, None),
    ],
)
def test_origin(code: str | None, words: str | None, expected: str | None) -> None:
    assert vocabulary.origin(code=code, text=words) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (set(), "negative"),
        ({"benign"}, "negative"),
        ({"uncertain significance"}, "inconclusive"),
        ({None}, "inconclusive"),
        ({"likely pathogenic", "uncertain significance"}, "positive"),
    ],
)
def test_what_findings_make_of_a_gene(found: set[str | None], expected: str) -> None:
    assert vocabulary.result_of(found) == expected
