"""A bundle: what gets served. A folder of UBJ, JSON and Parquet with the SHA-256 of every file; nothing else loads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.arrays import Floats, Strings
from features.catalogue import Catalogue
from features.errors import PresageError
from features.frame import FeatureFrame
from features.record import Tells
from features.writing import whole_folder
from training.cohort import Dosages, risk_column
from training.fitted import read_fitted
from training.models import Calibration, Clinical, Combined, DosageScore, Pair

if TYPE_CHECKING:
    import pandas as pd

    from training.result import Result

FORMAT = 1
MANIFEST, DIGESTS, REPORT = "bundle.json", "digests.json", "evaluation.json"
SUFFIXES = {".json", ".parquet", ".ubj", ".md", ".html", ".toml", ".csv"}


@dataclass(frozen=True, slots=True)
class BundleRisk:
    """What a bundle says of n rows.

    risk: (n, h) cumulative incidence by each horizon, NaN where not scored. model: (n,) "clinical", "combined" or "".
    reason: (n,) why the clinical model and not the combined, and why not the updated equation, else "".
    not_scored: (n,) why there is no risk, else "".
    """

    horizons_days: tuple[float, ...]
    risk: Floats
    model: Strings
    reason: Strings
    not_scored: Strings

    def to_pandas(self) -> pd.DataFrame:
        """A row for each row of the frame: a column of risk for each horizon, which model, and why not."""
        import pandas as pd

        risks = {risk_column(days): self.risk[:, i] for i, days in enumerate(self.horizons_days)}
        return pd.DataFrame({**risks, "model": self.model, "model_reason": self.reason, "not_scored": self.not_scored})


@dataclass(frozen=True, slots=True)
class Serving:
    """What decides, from a frame alone, who is scored and by which model; a part of the manifest.

    age_feature, age_years: the studied ages, both ends included. required: features without which nobody is scored.
    genomic_required: features without which the combined model does not serve; matched: feature to smallest value.
    """

    age_feature: str | None = None
    age_years: tuple[float, float] = (0.0, 130.0)
    sex_feature: str | None = None
    sex_value: float | None = None
    required: tuple[str, ...] = ()
    genomic_required: tuple[str, ...] = ()
    genomic_any: tuple[str, ...] = ()
    matched: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class Bundle:
    """A verified bundle. `digest` names its bytes; `folder` holds the report, the card and the catalogue."""

    name: str
    digest: str
    catalogue_hash: str
    horizons_days: tuple[float, ...]
    names: tuple[str, ...]
    pair: Pair
    serving: Serving
    manifest: Mapping[str, Any]
    folder: Path

    def risk(self, frame: FeatureFrame, dosages: Dosages | None = None) -> BundleRisk:
        """Score rows of a frame made by this bundle's catalogue (more columns do no harm).

        Raises PresageError where the frame lacks a feature. Rows outside the studied population, or without what the
        clinical model needs, are not scored, with the reason.
        """
        self._check(frame)
        n = len(frame)
        not_scored, why_clinical = self._not_scored(frame), self._why_clinical(frame, dosages)
        risk = np.full((n, len(self.horizons_days)), np.nan)
        model = np.full(n, "", dtype=object)
        scored = np.flatnonzero(not_scored == "")
        if len(scored):
            some = frame if len(scored) == n else frame.take(scored)
            risk[scored] = self.pair.clinical.risk(some, self.horizons_days)
            model[scored] = "clinical"
        both = np.flatnonzero((not_scored == "") & (why_clinical == ""))
        if self.pair.combined is not None and len(both):
            some = frame if len(both) == n else frame.take(both)
            called = None if dosages is None else dosages.take(both)
            risk[both] = self.pair.combined.risk(some, risk[both], dosages=called, horizons=self.horizons_days)
            model[both] = "combined"
        reason = np.where(model == "clinical", why_clinical, "").astype(object)
        if len(scored):
            some = frame if len(scored) == n else frame.take(scored)
            stood_in = self.pair.clinical.stood_in_for(some)
            reason[scored] = ["; ".join(filter(None, both)) for both in zip(stood_in, reason[scored], strict=True)]
        return BundleRisk(self.horizons_days, risk, model, reason, not_scored)

    def reference(self) -> Any:
        """The training distribution of every feature (an Arrow table), for drift."""
        import pyarrow.parquet as pq

        return pq.read_table(self.folder / "reference.parquet")

    def report(self) -> Result:
        """The result of the training. Raises PresageError where a later Presage wrote it."""
        from training.result import Result

        return Result.read(self.folder / REPORT)

    def __repr__(self) -> str:
        """What it is, in a line."""
        parts = "clinical" if self.pair.combined is None else "clinical and combined"
        return f"<Bundle of {self.name}: {parts} {self.pair.candidate}, {len(self.names)} features, {self.digest[:12]}>"

    def catalogue(self) -> Catalogue:
        """The catalogue that its frames are built with. Raises PresageError for a model of a flat table."""
        if self.manifest.get("flat", False):
            found = "one of a flat table, which has no catalogue"
            raise PresageError(f"bundle {self.name}", "a model of a record", found=found)
        return Catalogue.from_json(self.catalogue_json())

    def catalogue_json(self) -> str:
        """The catalogue that its frames are built with."""
        return (self.folder / "catalogue.json").read_text()

    @property
    def tells(self) -> Tells | None:
        """What the record that the models were learned on can tell; None of a flat table.

        Raises PresageError where it was read under other rules than those in use.
        """
        sealed = self.manifest.get("tells")
        if sealed is None:
            return None
        return Tells.from_json(sealed, where=f"bundle {self.name}", way_out="train the model again")

    def _check(self, frame: FeatureFrame) -> None:
        missing = [name for name in self.names if name not in frame.names]
        if missing:
            raise PresageError(
                f"bundle {self.name}",
                f"a frame with its {len(self.names)} features",
                found=f"no feature '{missing[0]}' ({len(missing)} are missing)",
                way_out="build it with the bundle's catalogue",
            )

    def _not_scored(self, frame: FeatureFrame) -> Strings:
        serving, reason = self.serving, np.full(len(frame), "", dtype=object)
        for name in serving.required:
            label = self.manifest.get("labels", {}).get(name, name.replace("_", " "))
            reason[np.isnan(frame.column(name))] = f"needs {label}, which is not recorded"
        if serving.age_feature is not None:
            age, (low, high) = np.floor(frame.column(serving.age_feature)), serving.age_years
            outside = ~((age >= low) & (age <= high))
            reason[outside] = f"outside the studied population: ages {low:.0f} to {high:.0f} years"
        if serving.sex_feature is not None:
            other = frame.column(serving.sex_feature) != serving.sex_value
            reason[other] = "outside the studied population: sex"
        return reason

    def _why_clinical(self, frame: FeatureFrame, dosages: Dosages | None) -> Strings:
        if self.pair.combined is None:
            return np.full(len(frame), self.pair.why_no_combined, dtype=object)
        reason = np.full(len(frame), "", dtype=object)
        if self.pair.combined.dosage_score is not None:
            reason[:] = "no genomic results" if dosages is None else np.where(dosages.called, "", "no genomic results")
            return reason
        if self.serving.genomic_any:
            columns = [frame.names.index(name) for name in self.serving.genomic_any]
            reason[np.isnan(frame.values[:, columns]).all(axis=1)] = "no genomic results"
        for name, least in self.serving.matched.items():
            low = frame.column(name) < least
            reason[low] = f"less than {least:.0%} of the polygenic score's weight matched"
        for name in self.serving.genomic_required:
            absent = np.isnan(frame.column(name)) & (reason == "")
            reason[absent] = "no usable polygenic result"
        return reason


def write(
    folder: Path,
    pair: Pair,
    *,
    manifest: Mapping[str, Any],
    serving: Serving,
    documents: Mapping[str, str],
    tables: Mapping[str, Any],
) -> str:
    """Write a bundle whole or not at all; returns its digest.

    manifest: what `bundle.json` says besides what is added here. documents: texts by file name; tables: Arrow by name.
    """
    with whole_folder(folder) as scratch:
        scratch.mkdir(mode=0o700)
        _write_files(scratch, pair, manifest=manifest, serving=serving, documents=documents, tables=tables)
        return _seal(scratch)


def load(folder: Path, *, catalogue_hash: str | None = None) -> Bundle:
    """Read and verify. Raises PresageError where a file is missing, added or changed, or the catalogue is another."""
    digest = _verify(folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    if manifest["format"] != FORMAT:
        raise PresageError(
            str(folder),
            f"a bundle of format {FORMAT}",
            found=f"format {manifest['format']}",
            way_out="train the model again",
        )
    if catalogue_hash is not None and catalogue_hash != manifest["catalogue_hash"]:
        raise PresageError(
            str(folder),
            "a bundle of the catalogue in use",
            found="one whose catalogue has another hash",
            way_out="train again, or use its catalogue",
        )
    serving = dict(manifest["serving"])
    for key in ("required", "genomic_required", "genomic_any", "age_years"):
        serving[key] = tuple(serving[key])
    return Bundle(
        name=manifest["name"],
        digest=digest,
        catalogue_hash=manifest["catalogue_hash"],
        horizons_days=tuple(float("nan") if h is None else float(h) for h in manifest["horizons_days"]),
        names=tuple(manifest["features"]),
        pair=_read_pair(folder, manifest),
        serving=Serving(**serving),
        manifest=manifest,
        folder=folder,
    )


def _write_files(
    folder: Path,
    pair: Pair,
    *,
    manifest: Mapping[str, Any],
    serving: Serving,
    documents: Mapping[str, str],
    tables: Mapping[str, Any],
) -> None:
    import pyarrow.parquet as pq

    pair.clinical.fitted.write(folder / "clinical")
    calibrations = {"clinical": pair.clinical.calibration.to_json()}
    features = list(pair.clinical.names)
    if pair.combined is not None:
        pair.combined.fitted.write(folder / "combined")
        calibrations["combined"] = pair.combined.calibration.to_json()
        features += [name for name in pair.combined.names if name not in features]
        if pair.combined.dosage_score is not None:
            pair.combined.dosage_score.write(folder / "genotype_score.parquet")
    _dump(folder / "calibration.json", calibrations)
    stated = {
        "format": FORMAT,
        "candidate": pair.candidate,
        "features": features,
        "clinical_features": list(pair.clinical.names),
        "genomic_features": None if pair.combined is None else list(pair.combined.names),
        "why_no_combined": pair.why_no_combined,
        "serving": {name: getattr(serving, name) for name in Serving.__dataclass_fields__},
    }
    _dump(folder / MANIFEST, {**manifest, **stated})
    for name, text in documents.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, table in tables.items():
        pq.write_table(table, folder / name)


def _read_pair(folder: Path, manifest: Mapping[str, Any]) -> Pair:
    calibrations = json.loads((folder / "calibration.json").read_text())
    clinical = Clinical(
        tuple(manifest["clinical_features"]),
        read_fitted(folder / "clinical"),
        Calibration.from_json(calibrations["clinical"]),
        None,
    )
    if manifest["genomic_features"] is None:
        return Pair(manifest["candidate"], clinical, None, manifest["why_no_combined"])
    score = folder / "genotype_score.parquet"
    combined = Combined(
        tuple(manifest["genomic_features"]),
        read_fitted(folder / "combined"),
        Calibration.from_json(calibrations["combined"]),
        DosageScore.read(score) if score.exists() else None,
        np.empty(0, dtype=np.int64),
        None,
    )
    return Pair(manifest["candidate"], clinical, combined)


def _dump(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DIGESTS)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _digest_of(files: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{sha}  {name}\n" for name, sha in sorted(files.items())).encode()).hexdigest()


def _seal(folder: Path) -> str:
    files = _digests(folder)
    foreign = [name for name in files if Path(name).suffix not in SUFFIXES]
    if foreign:
        raise ValueError(f"a bundle holds files {', '.join(sorted(SUFFIXES))}, and was to hold {foreign[0]}")
    digest = _digest_of(files)
    _dump(folder / DIGESTS, {"digest": digest, "files": files})
    return digest


def _verify(folder: Path) -> str:
    if not (folder / DIGESTS).is_file():
        raise PresageError(str(folder), "the folder of a bundle", found="no digests.json in it")
    stated = json.loads((folder / DIGESTS).read_text())
    found = _digests(folder)
    for name in sorted(stated["files"].keys() | found.keys()):
        if name not in found:
            raise PresageError(
                f"{folder}, {name}",
                "every file that the bundle was sealed with",
                found="no such file, so it is refused",
            )
        if name not in stated["files"]:
            raise PresageError(
                f"{folder}, {name}", "the files that the bundle was sealed with", found="one more, so it is refused"
            )
        if stated["files"][name] != found[name]:
            raise PresageError(
                f"{folder}, {name}",
                "the file that the bundle was sealed with",
                found="one that was changed since, so it is refused",
            )
    digest = _digest_of(found)
    if digest != stated["digest"]:
        raise PresageError(str(folder), "the files whose digest the bundle states", found="others, so it is refused")
    return digest
