"""Presage from Python: `import presage as ps`. One door to everything that the command line and the service do.

Importing it costs next to nothing: what a name needs is imported when the name is used. Paths may be text or paths,
days text, dates or NumPy's and pandas' moments, and subject ids any sequence of whole numbers. What its caller can mend
is raised as `PresageError`, which names the file and the key. See docs/python.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from typing import Unpack

    import pandas as pd

    from features.arguments import Moment, StrPath
    from features.catalogue import Catalogue
    from features.describe import Description
    from features.errors import PresageError as PresageError
    from features.frame import FeatureFrame as FeatureFrame
    from features.index import Index as Index
    from features.polygenic.prs import PolygenicScores
    from features.polygenic.reference import FittedReference
    from features.polygenic.run import SettingKeys
    from features.progress import Progress
    from features.record import Record as Record
    from features.sources import IngestReport
    from features.vocabulary import Loaded
    from serving.flagging.flag import Raised
    from serving.scoring import Scores as Scores
    from serving.shipped import Copy
    from training.bundle import Bundle as Bundle
    from training.cohort import Cohort as Cohort
    from training.cohort import RiskCurves as RiskCurves
    from training.leakage import Leakage
    from training.promote import Promotion
    from training.report import Summary as Training
    from training.study import Study as Study
    from training.validate import External

    __version__: str

# Classes, by the module that each is imported from when it is first asked for.
_CLASSES = {
    "Bundle": ("training.bundle", "Bundle"),
    "Cohort": ("training.cohort", "Cohort"),
    "FeatureFrame": ("features.frame", "FeatureFrame"),
    "Index": ("features.index", "Index"),
    "PresageError": ("features.errors", "PresageError"),
    "Record": ("features.record", "Record"),
    "RiskCurves": ("training.cohort", "RiskCurves"),
    "Scores": ("serving.scoring", "Scores"),
    "Study": ("training.study", "Study"),
    "Training": ("training.report", "Summary"),
}
_FUNCTIONS = (
    "ancestry_fit", "bundle", "catalogue", "check_leakage", "cohort", "compact", "describe", "evaluate", "features",
    "flag", "ingest", "init", "load_vocabulary", "models", "promote", "prs", "report", "score", "simulate", "studies",
    "train", "validate",
)  # fmt: skip
__all__ = ["__version__", *_CLASSES, *_FUNCTIONS]


def _check_rooms() -> None:
    """Raise ImportError where a folder or file of the user's has the name of one of Presage's packages."""
    for room in ("features", "training", "serving"):
        spec = find_spec(room)
        places = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin or ""]
        ours = os.path.join(os.path.dirname(__file__), room)  # noqa: PTH118, PTH120  # pathlib takes 6 ms to import
        if not any(os.path.realpath(place) == os.path.realpath(ours) for place in places):
            found = places[0] if places else "nothing"
            raise ImportError(
                f"presage: {found} hides Presage's own package '{room}' "
                "(give it another name, or start Python from another folder)"
            )


_check_rooms()


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        from importlib.metadata import version

        return version("presage")
    if name in _CLASSES:
        module, attribute = _CLASSES[name]
        found = getattr(import_module(module), attribute)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'presage' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)


def simulate(
    out: StrPath, *, people: int = 20_000, seed: int = 7, scenario: str = "default", progress: bool | Progress = False
) -> Path:
    """Write a simulated health system with known truth into a folder, and return the folder.

    It holds omop/, fhir/, genotypes/, scores/, reference/, reports/ and truth.parquet; same seed, same bytes.
    scenario: default, no-genomic-effect or no-treatment-benefit.

    >>> source = ps.simulate("small", people=200, seed=1)
    >>> (source / "truth.parquet").exists()
    True
    """
    from training.simulation import simulate as run

    folder = _path(out)
    run(folder, people=people, seed=seed, scenario=scenario, progress=_watched(progress))
    return folder


class ingest:  # noqa: N801  # a name space, as in ps.ingest.omop
    """Read a source into a record. Each returns a report of what was read and what was set aside, and why."""

    @staticmethod
    def omop(
        source: StrPath,
        record: Record | StrPath,
        *,
        schema: str | None = None,
        vocabulary_schema: str | None = None,
        replace: bool = False,
        update: bool = False,
        progress: bool | Progress = False,
    ) -> IngestReport:
        """OMOP CDM 5.3 or 5.4: a folder or zip of CSV or Parquet, a DuckDB file, or the URL of a PostgreSQL database.

        A URL holds no password: that comes from PGPASSWORD or ~/.pgpass. schema: that of the person table, in a
        database of several. vocabulary_schema: that of the concept table, where it is another.
        replace: take the place of what the record has of this source although people are missing. update: the source
        holds what has changed since; a row takes the place of those with its key, and everything else stays.

        >>> ps.ingest.omop("small/omop", "small-record").people
        200
        """
        from features.sources.omop import ingest as run

        return run(
            str(_path(source)),
            _required(record),
            schema=schema,
            vocabulary_schema=vocabulary_schema,
            replace=replace,
            update=update,
            progress=_watched(progress),
        )

    @staticmethod
    def fhir(
        source: StrPath,
        record: Record | StrPath,
        *,
        replace: bool = False,
        update: bool = False,
        progress: bool | Progress = False,
    ) -> IngestReport:
        """FHIR R4: a folder of a bulk export (NDJSON), or bundles (a folder or zip).

        update: the source holds what has changed since; the later version of each resource counts (`_since`,
        `deleted/`), and everything else stays.

        >>> ps.ingest.fhir("small/fhir", "small-fhir-record").people
        200
        """
        from features.sources.fhir import ingest as run

        return run(_path(source), _required(record), replace=replace, update=update, progress=_watched(progress))

    @staticmethod
    def meds(
        source: StrPath,
        record: Record | StrPath,
        *,
        replace: bool = False,
        update: bool = False,
        progress: bool | Progress = False,
    ) -> IngestReport:
        """A MEDS data set made elsewhere: its folder, with data/ and metadata/.

        update: the source holds what has changed since; of its people what lies within its time is replaced.

        >>> ps.ingest.meds("small-record", "small-meds-record").people
        200
        """
        from features.sources import ingest as run

        return run(_path(source), _required(record), replace=replace, update=update, progress=_watched(progress))

    @staticmethod
    def genotypes(
        source: StrPath,
        record: Record | StrPath,
        *,
        scores: StrPath | Sequence[StrPath],
        samples: StrPath | None = None,
        collected: Moment | None = None,
        known_from: Moment | None = None,
        reference_frequencies: StrPath | None = None,
        ancestry: StrPath | None = None,
        progress: bool | Progress = False,
        **settings: Unpack[SettingKeys],
    ) -> IngestReport:
        """PGEN, BED or VCF genotypes and PGS Catalog scoring files into the record's polygenic scores.

        samples: a table of sample_id, person_id and collected (samples.csv beside the source). collected: the day of
        collection of samples without one; such results are else known from `known_from` (now). settings: those of
        `ps.prs`.

        >>> ps.ingest.genotypes("small/genotypes", "small-record", scores="small/scores/SIM-CHD.txt.gz").source
        'genotypes'
        """
        from features.arguments import moment_of
        from features.polygenic.ingest import ingest as run
        from features.polygenic.run import settings_of

        return run(
            _path(source),
            _required(record),
            scores=_paths(scores),
            now=_now() if known_from is None else moment_of(known_from, where="known_from"),
            samples=_optional(samples),
            collected=None if collected is None else moment_of(collected, where="collected").date(),
            reference_frequencies=_optional(reference_frequencies),
            ancestry=_optional(ancestry),
            settings=settings_of(**settings),
            progress=_watched(progress),
        )

    @staticmethod
    def findings(source: StrPath, record: Record | StrPath, *, progress: bool | Progress = False) -> IngestReport:
        """Laboratories' genomics reports: FHIR Genomics Reporting, or a laboratory's own CSV.

        >>> ps.ingest.findings("small/reports", "small-record").source
        'findings'
        """
        from features.findings.ingest import ingest as run

        return run(_path(source), _required(record), progress=_watched(progress))


def describe(record: Record | StrPath) -> Description:
    """Say what of a record is read: codes by vocabulary, the commonest that no feature reads, results set aside.

    >>> ps.describe("small-record").codes_read > 0
    True
    """
    from features.describe import describe as run
    from features.record import Record as Kept

    return run(record if isinstance(record, Kept) else Kept.open(record))


def compact(record: Record | StrPath, *, progress: bool | Progress = False) -> list[str]:
    """Write the MEDS folder of a record anew from what was ingested and the updates since; return the sources.

    An update does so by itself beyond a tenth. Without an update that is pending nothing happens.

    >>> ps.compact("small-record")
    []
    """
    from features.sources import compact as run

    return run(_required(record), progress=_watched(progress))


def load_vocabulary(source: StrPath, *, release: str | None = None, progress: bool | Progress = False) -> Loaded:
    """Load a vocabulary once for all sources: an OMOP export, RxNorm's RRF or SNOMED CT's RF2.

    Records that are ingested from then on are read by it.

    >>> ps.load_vocabulary("athena")  # doctest: +SKIP
    """
    from features.vocabulary import load as run

    return run(_path(source), release=release, progress=_watched(progress))


def catalogue(families: Sequence[str] = (), *, polygenic: Sequence[str] = ()) -> pd.DataFrame:
    """Every feature of these families (all, where none is named): what it measures, its unit, what missing means.

    polygenic: ids of scores, whose features are listed too.

    >>> ps.catalogue(["demographics"]).loc["age_years", "unit"]
    'a'
    """
    from features.catalogue.render import as_frame

    return as_frame(tuple(families), polygenic=tuple(polygenic))


def features(
    record: Record | StrPath,
    subject_ids: Any,
    *,
    as_of: Any,
    families: Sequence[str] = ("demographics", "measurements"),
    polygenic: Sequence[str] = (),
    names: Sequence[str] | None = None,
    catalogue: Catalogue | None = None,
    progress: bool | Progress = False,
) -> FeatureFrame:
    """The features of these people: what was available strictly before the moment, and nothing else.

    as_of: one moment, or one for each subject id. Features are those of the families, or by their names, or of a
    catalogue, such as `ps.bundle("chd-10y").catalogue()`. polygenic: ids of scores that join the families. The family
    `codes` takes those that at least 1 % of these rows ever had.

    >>> ps.features("record", people[:2], as_of="2015-01-01", names=["sex_female", "age_years"]).names
    ('sex_female', 'age_years')
    """
    from features.arguments import index_of
    from features.build import build, check_known, chosen
    from features.record import Record

    opened = record if isinstance(record, Record) else Record.open(record)
    index = index_of(subject_ids, as_of)
    check_known(index, opened)
    wanted = chosen(index, opened, families=families, polygenic=polygenic, names=names, catalogue=catalogue)
    return build(index, opened, catalogue=wanted, progress=_watched(progress))


def studies() -> pd.DataFrame:
    """The studies that ship with Presage; each goes by its name, and so do its policy and its model card.

    >>> ps.studies().loc["chd-10y", "title"]
    '10-year risk of coronary disease'
    """
    from serving.shipped import studies as run

    return run().to_pandas()


def init(study: str, *, out: StrPath | None = None) -> Copy:
    """Write a copy of a shipped study to edit, with its code lists, card and policy; nothing is overwritten.

    >>> ps.init("chd-10y", out="my-chd").files[:2]
    ('study.toml', 'card.toml')
    """
    from serving.shipped import init as run

    return run(study, out=_optional(out))


def cohort(
    study: Study | StrPath,
    *,
    record: Record | StrPath | None = None,
    table: pd.DataFrame | StrPath | None = None,
    progress: bool | Progress = False,
) -> Cohort:
    """The people that a study learns from, with features, outcome, groups, and who was lost on the way.

    >>> people = ps.cohort(lymphoma, table=table)
    >>> bool(people.to_pandas()["event"].sum() == table["died"].sum())
    True
    """
    from training.train import cohort_of

    return cohort_of(_study(study), record_dir=_folder(record), table=_table(table), progress=_watched(progress))[0]


def check_leakage(
    study: Study | StrPath, *, record: Record | StrPath, seed: int = 7, progress: bool | Progress = False
) -> Leakage:
    """Prove that no feature of a study of a record sees its future, and look for features that know too much.

    >>> ps.check_leakage(study, record="record").passed
    True
    """
    from training.leakage import check

    return check(_study(study), record_dir=_required(record), seed=seed, progress=_watched(progress))


def train(
    study: Study | StrPath,
    *,
    record: Record | StrPath | None = None,
    table: pd.DataFrame | StrPath | None = None,
    truth: StrPath | None = None,
    candidates: Mapping[str, Any] | None = None,
    seed: int = 7,
    tune: int | None = None,
    progress: bool | Progress = False,
) -> Training:
    """Train, evaluate and register the models of a study, from a record or from a table (data frame or file).

    candidates: scikit-learn classifiers by name, which are compared with the study's own candidates on the same folds.
    They are cloned for every fold, see numbers without gaps that were learned inside it, are calibrated as the others
    are, and are never served or registered as the model. With horizons there is one classifier for each, and the
    estimator's `fit` has to take sample_weight, as people whose follow-up ended are stood in for by weights. truth: the
    truth.parquet of a simulation. tune: trials of a search for settings of each boosted candidate.

    >>> found = ps.train(lymphoma, table=table, seed=3)
    >>> bool(found.metrics().loc["auc", "value"] > 0.5)
    True
    """
    from training.train import train as run

    return run(
        _study(study),
        record_dir=_folder(record),
        table=_table(table),
        truth=_optional(truth),
        comparators=candidates,
        seed=seed,
        tune=tune,
        progress=_watched(progress),
    )


def evaluate(
    outcome: Any,
    risks: Any,
    *,
    horizons_days: Sequence[float] = (),
    reference: str | None = None,
    persons: Any = None,
    covariates: pd.DataFrame | None = None,
    folds: Any = None,
    cutoffs: Sequence[float] = (),
    capacities: Sequence[float] = (),
    n_boot: int = 200,
    seed: int = 7,
) -> pd.DataFrame:
    """The metrics of models made elsewhere, with 95 % intervals over people, as a data frame of one row for each.

    outcome: a data frame (or mapping) with `event` and `time_days`, the pair (time_days, event), a cohort, or the
    events alone, which are a binary outcome. event: 0 censored, 1 event, 2 competing event. risks: probabilities by
    each horizon, (n,) or (n, h), or several models by name. The others' differences to `reference` are rows as well,
    such as "new minus old"; of two models the first is the reference. persons: whose rows they are, where somebody has
    several. covariates: what being followed depends on; without them everybody's follow-up ends alike. Of a cohort both
    are known, and the numbers are those that `ps.train` gives for the same risks. folds: (n,) the fold whose model made
    each risk, of cross-validation: people are then compared with people of their fold.

    >>> numbers = ps.evaluate([0, 1, 0, 1] * 20, [0.2, 0.9, 0.1, 0.6] * 20, n_boot=20)
    >>> float(numbers.set_index("metric").loc["auc", "value"])
    1.0
    """
    from training.evaluate import evaluate_risks

    return evaluate_risks(
        outcome,
        risks,
        horizons_days=horizons_days,
        reference=reference,
        persons=persons,
        covariates=covariates,
        folds=folds,
        cutoffs=cutoffs,
        capacities=capacities,
        n_boot=n_boot,
        seed=seed,
    )


def promote(
    model: str,
    version: int | str = "latest",
    *,
    card: StrPath | Mapping[str, str] | None = None,
    signed_by: str | None = None,
    override: bool = False,
    reason: str | None = None,
) -> Promotion:
    """Make a version the champion, if it passes its study's gate; or by an override, whose reason is recorded.

    card: what a person says on the model card: a TOML file, or answers by key. signed_by: who vouches for it.

    >>> ps.promote("lymphoma", override=True, reason="an example", signed_by="me").promoted
    True
    """
    from training.card import card_path, read_answers
    from training.promote import promote as run
    from training.registry import version_number

    return run(
        model,
        version_number(model, str(version)),
        now=_now(),
        answers=card if card is None or isinstance(card, Mapping) else read_answers(card_path(_path(card))),
        signed_by=signed_by,
        override=override,
        reason=reason,
    )


def validate(
    model: str | StrPath,
    version: int | str = "champion",
    *,
    record: Record | StrPath | None = None,
    table: pd.DataFrame | StrPath | None = None,
    source: str | None = None,
    by: str | None = None,
    seed: int = 7,
    progress: bool | Progress = False,
) -> External:
    """Apply a model, unchanged, to people it was not made for: does it hold there? Logged with the version.

    model: a registered model, the id of a training's run, or a bundle's folder. source: how the other people are
    called. by: who validates.

    >>> bool(ps.validate("lymphoma", table=table).metrics().loc["auc", "value"] > 0.5)
    True
    """
    from training.validate import validate as run

    return run(
        str(model),
        str(version),
        now=_now(),
        record_dir=_folder(record),
        table=_table(table),
        source=source,
        by=by,
        seed=seed,
        progress=_watched(progress),
    )


def report(model: str | StrPath, version: int | str = "latest", *, out: StrPath | None = None) -> Path:
    """Write one page of everything about a trained model, which opens offline; returns where it is.

    >>> ps.report("lymphoma", out="lymphoma.html").name
    'lymphoma.html'
    """
    from training.report import report as run

    return run(str(model), str(version), out=_optional(out))


def models() -> pd.DataFrame:
    """Every registered version: model, version, whether it is the champion or the challenger, run, and when.

    >>> bool((ps.models().query("alias == 'champion'")["model"] == "lymphoma").any())
    True
    """
    import pandas as pd

    from training.registry import registered_versions

    return pd.DataFrame(registered_versions(), columns=["model", "version", "alias", "run_id", "registered"])


def bundle(model: str | StrPath, version: int | str = "champion") -> Bundle:
    """The verified bundle of a registered model's version, of a training's run, or of a folder.

    >>> ps.bundle("lymphoma").horizons_days
    (365.0, 730.0)
    """
    from training.registry import find

    return find(str(model), str(version))[0]


def score(
    model: str,
    record: Record | StrPath,
    *,
    as_of: Moment,
    out: StrPath | None = None,
    progress: bool | Progress = False,
) -> Scores:
    """Score everybody enrolled on a day with the champion: a receipt each, or the reason why there is no score.

    out: a Parquet file to write the receipts to, as well.

    >>> bool(ps.score("chd-10y", "record", as_of="2024-12-31").to_pandas()["risk_3650d"].max() < 1)
    True
    """
    from features.arguments import moment_of
    from serving.scoring.score import score as run

    return run(
        model,
        record_dir=_required(record),
        as_of=moment_of(as_of),
        out=_optional(out),
        progress=_watched(progress),
    )


def flag(
    scores: Scores | StrPath, policy: StrPath, *, record: Record | StrPath, progress: bool | Progress = False
) -> Raised:
    """Flag the top of the list by a policy, as long as the team's capacity, and every carrier of an actionable variant.

    scores: of `ps.score`, or the file of them. The flags stand in the store of $PRESAGE_HOME, on the worklist.

    >>> ps.flag(ps.score("chd-10y", "record", as_of="2024-12-31"), "chd-10y", record="record").policy.study
    'chd-10y'
    """
    from serving.flagging import policy_path
    from serving.flagging.flag import flag_scores
    from serving.scoring import Scores
    from serving.settings import Settings

    return flag_scores(
        scores if isinstance(scores, Scores) else _path(scores),
        policy_path=policy_path(_path(policy)),
        record_dir=_required(record),
        settings=Settings.from_environment(),
        now=_now(),
        progress=_watched(progress),
    )


def prs(
    genotypes: StrPath,
    scores: StrPath | Sequence[StrPath],
    *,
    out: StrPath | None = None,
    reference_frequencies: StrPath | None = None,
    ancestry: StrPath | None = None,
    progress: bool | Progress = False,
    **settings: Unpack[SettingKeys],
) -> PolygenicScores:
    """Polygenic scores of genotypes (.pgen, .bed, .vcf, .bcf): sums, what matched, and ancestry-adjusted z.

    ancestry: a reference that `ps.ancestry_fit` froze. out: a table to write (.parquet or .csv), with the match report
    beside it. settings: the options of `presage prs`, such as build="GRCh38", min_overlap=0.9 or threads=8.

    >>> scored = ps.prs("small/genotypes/genotypes.pgen", ["small/scores/SIM-CHD.txt.gz"])
    >>> scored.to_pandas()["score_id"].unique().tolist()
    ['SIM-CHD']
    """
    from features.polygenic.prs import prs as run
    from features.polygenic.run import settings_of

    return run(
        _path(genotypes),
        _paths(scores),
        out=_optional(out),
        settings=settings_of(**settings),
        reference_frequencies=_optional(reference_frequencies),
        ancestry=_optional(ancestry),
        progress=_watched(progress),
    )


def ancestry_fit(
    panel: StrPath,
    labels: StrPath,
    *,
    out: StrPath,
    scores: StrPath | Sequence[StrPath] = (),
    components: int = 4,
    unrelated: StrPath | None = None,
    build: str | None = None,
    progress: bool | Progress = False,
) -> FittedReference:
    """Fit the ancestry reference that polygenic scores are adjusted by, and freeze it in a folder.

    panel: genotypes, or a prefix of .UD .mu .bed .V. labels: a file of sample and group, or a column of the .psam.
    unrelated: a file of samples that the regressions leave out. build: GRCh37 or GRCh38, where no header says it.

    >>> ps.ancestry_fit("small/reference/panel.pgen", "SuperPop", out="small-ancestry").components
    4
    """
    from features.polygenic.reference import fit_reference
    from features.polygenic.run import settings_of

    return fit_reference(
        _path(panel),
        labels=str(labels),
        out=_path(out),
        scores=_paths(scores),
        n_components=components,
        unrelated=_optional(unrelated),
        settings=settings_of(build=build),
        progress=_watched(progress),
    )


def _now() -> datetime:
    """This moment, UTC without an offset: the only clock."""
    from datetime import UTC, datetime

    return datetime.now(UTC).replace(tzinfo=None)


def _watched(progress: bool | Progress) -> Progress:
    """Nobody watches; or the bars of the command line; or what the caller gives."""
    if progress is True:
        from serving.console import progress as bars

        return bars
    if progress is False:
        from features.progress import silent

        return silent
    return progress


def _path(given: StrPath) -> Path:
    from features.arguments import path_of

    return path_of(given)


def _optional(given: StrPath | None) -> Path | None:
    return None if given is None else _path(given)


def _paths(given: StrPath | Sequence[StrPath]) -> list[Path]:
    from features.arguments import paths_of

    return paths_of(given)


def _study(given: Study | StrPath) -> Study:
    from training.study import Study

    return given if isinstance(given, Study) else Study.read(given)


def _table(given: pd.DataFrame | StrPath | None) -> Path | pd.DataFrame | None:
    import pandas as pd

    return given if given is None or isinstance(given, pd.DataFrame) else _path(given)


def _folder(record: Record | StrPath | None) -> Path | None:
    return None if record is None else _required(record)


def _required(record: Record | StrPath) -> Path:
    from features.errors import PresageError
    from features.record import Record

    if not isinstance(record, Record):
        return _path(record)
    if record.path is None:
        raise PresageError("record", "a record in a folder", found="one in memory", way_out="give its folder")
    return record.path
