"""The codes that ship find in a real record of FHIR whom its own words name, and nobody else.

The source is read as it lies, as JSON, without any of the project's readers. What a person has is decided by words
written here; the codes have to agree with them, person by person.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features.catalogue.clinical import CONDITIONS
from features.codes import CHARLSON, Matcher, category_codes, ingredients, patterns

# Of each condition: words of a diagnosis that mean it. What is only suspected, in situ, or a wound is not meant.
WORDS = {
    "hypertension": r"^hypertension$",
    "diabetes": r"^diabetes$|^diabetic |due to type (2|ii) diabetes|with type ii diabetes",
    "type_2_diabetes": r"^diabetes$|type (2|ii) diabetes",  # whoever has `Diabetes` here has type 2
    "hyperlipidaemia": r"hyperlipidemia|hypertriglyceridemia",
    "familial_hypercholesterolaemia": r"familial hyper",
    "coronary_disease": r"coronary heart disease|myocardial infarction",
    "myocardial_infarction": r"myocardial infarction",
    "heart_failure": r"heart failure",
    "atrial_fibrillation": r"atrial fibrillation",
    "stroke": r"^stroke$",
    "tia": r"transient isch",
    "peripheral_artery_disease": r"peripheral arter",
    "vascular_disease": r"myocardial infarction|peripheral arter",
    "thromboembolism": r"^stroke$|transient isch|embol",
    "chronic_kidney_disease": r"chronic kidney disease",
    "copd": r"chronic obstructive|emphysema",
    "asthma": r"asthma",
    "depression": r"depress",
    "dementia": r"alzheimer|dementia",
    "cancer": r"malignant|^non-small cell|^small cell carcinoma",
    "breast_cancer": r"malignant.*breast|breast cancer",
    "obesity": r"obes",
    "anaemia": r"anemia",
    "peptic_ulcer": r"ulcer",
    "gi_bleed": r"bleeding",
    "liver_disease": r"liver|hepat|cirrhosis",
    "rheumatoid_arthritis": r"rheumatoid",
    "osteoarthritis": r"osteoarthritis",
}
PEOPLE = {
    "diabetes": 37,
    "heart_failure": 49,
    "coronary_disease": 41,
    "hypertension": 161,
    "cancer": 25,
    "dementia": 36,
}
DRUGS = {
    "statin": r"statin\b",
    "antihypertensive": r"hydrochlorothiazide|amlodipine|metoprolol|furosemide|lasix|verapamil|captopril",
    "glucose_lowering": r"metformin|insulin",
    "aspirin": r"aspirin",
    "anticoagulant": r"warfarin",
    "antiplatelet": r"clopidogrel",
    "nsaid": r"ibuprofen|naproxen",
    "corticosteroid": r"prednisone",
    "opioid": r"oxycodone|hydrocodone|meperidine|morphine",
    "proton_pump_inhibitor": r"prazole",
    "antidepressant": r"sertraline|fluoxetine",
}
STATIN_PEOPLE = 106
CHARLSON_WORDS = {
    "ami": "myocardial infarction",
    "chf": "heart failure",
    "cevd": "^stroke$",
    "dementia": "alzheimer",
    "copd": "chronic obstructive|emphysema|asthma",
    "rheumd": "rheumatoid",
    "rend": "chronic kidney disease",
    "hp": "paralysis",
    "diabwc": "diabetic renal|retinopathy|neuropathy|microalbuminuria",
    "metacanc": "metastasis|secondary malignant",
}

Stated = list[tuple[str, str, str]]  # person, code, words


@pytest.fixture(scope="module")
def diagnoses(real_data: Path) -> Stated:
    return list(stated(real_data, "Condition", "code"))


@pytest.fixture(scope="module")
def prescriptions(real_data: Path) -> Stated:
    return list(stated(real_data, "MedicationRequest", "medicationCodeableConcept"))


def stated(real_data: Path, kind: str, element: str) -> Iterator[tuple[str, str, str]]:
    vocabularies = {
        "http://snomed.info/sct": "SNOMED",
        "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
    }
    path = real_data / "fhir_r4_synthea" / "ndjson" / f"{kind}.ndjson.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            resource: dict[str, Any] = json.loads(line)
            for coding in resource[element]["coding"]:
                code = f"{vocabularies[coding['system']]}//{coding['code']}"
                yield resource["subject"]["reference"], code, coding["display"].lower()


def by_words(rows: Stated, words: str) -> set[str]:
    return {person for person, _, said in rows if re.search(words, said.replace(" (disorder)", ""))}


def by_codes(rows: Stated, listed: tuple[str, ...]) -> set[str]:
    matcher = Matcher(listed, {})
    return {person for person, code, _ in rows if matcher(code)}


@pytest.mark.realdata
@pytest.mark.parametrize("name", [name for name, _ in CONDITIONS])
def test_a_condition_is_found_in_everybody_whose_diagnosis_says_it_and_nobody_else(
    name: str, diagnoses: Stated
) -> None:
    assert by_codes(diagnoses, patterns(name)) == by_words(diagnoses, WORDS[name])


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "people"), PEOPLE.items())
def test_as_many_people_as_the_source_has(name: str, people: int, diagnoses: Stated) -> None:
    assert len(by_words(diagnoses, WORDS[name])) == people
    assert len(by_codes(diagnoses, patterns(name))) == people


@pytest.mark.realdata
@pytest.mark.parametrize("category", CHARLSON_WORDS)
def test_a_category_of_charlson_is_found_in_whom_the_words_name(category: str, diagnoses: Stated) -> None:
    found = by_codes(diagnoses, category_codes("charlson", category))
    assert CHARLSON[category]
    assert found == by_words(diagnoses, CHARLSON_WORDS[category])
    assert found


@pytest.mark.realdata
@pytest.mark.parametrize("name", DRUGS)
def test_a_drug_is_read_by_its_name_in_everybody_whose_prescription_says_it(name: str, prescriptions: Stated) -> None:
    numbers = set(patterns(name, vocabularies=["RxNormByName"]))
    read = {person for person, _, said in prescriptions if numbers & {f"RxNormByName//{n}" for n in ingredients(said)}}
    assert read == by_words(prescriptions, DRUGS[name])
    assert name != "statin" or len(read) == STATIN_PEOPLE


@pytest.mark.realdata
@pytest.mark.parametrize("name", DRUGS)
def test_a_drug_is_found_by_its_product_as_by_its_words(name: str, prescriptions: Stated) -> None:
    words = DRUGS[name].replace("|captopril", "")  # the source writes captopril with the number of a hydrocodone tablet
    assert by_codes(prescriptions, patterns(name)) == by_words(prescriptions, words)
