"""The frozen ancestry reference: components, groups, and how each score depends on them, as JSON and Parquet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.arrays import Floats, Ints
from features.errors import PresageError
from features.polygenic.ancestry.adjustment import Adjustment
from features.polygenic.columns import Alleles, Codes
from features.polygenic.matching import TargetIndex
from features.polygenic.sums import Contribution

FORMAT = 1
SITES, MODEL = "sites.parquet", "model.json"
BEYOND = 1e-6  # chance of a larger distance within the reference, below which a person is beyond it
MIN_PLACED = 0.5  # share of the components' sites that must be found and called to place somebody
_SUM_TO_ONE = 1e4  # weight of the row that makes admixture shares sum to 1


@dataclass(frozen=True, slots=True)
class SiteTable:
    """The sites of the components and of the scores: alleles, frequency of ALT, and loadings, which are nan at sites of
    scores only.
    """

    keys: Ints
    ref: tuple[str, ...]
    alt: tuple[str, ...]
    frequency: Floats
    mean: Floats
    scale: Floats
    loadings: Floats

    @property
    def of_components(self) -> NDArray[np.bool_]:
        """Whether each site (site,) has loadings."""
        return ~np.isnan(self.loadings[:, 0])


@dataclass(frozen=True, slots=True)
class Placement:
    """Where people stand in the reference.

    `components`: standardised. `group`, `probability`: the most probable group and its probability among the groups,
    from normal distributions. `distance`: from the nearest group or mixture of groups' centres, in SD within groups.
    `beyond`: whether that is further than the reference reaches. `placed`: False where too little is called to place
    the person; the other values are then nan, or "".
    """

    components: Floats
    group: NDArray[np.str_]
    probability: Floats
    distance: Floats
    beyond: NDArray[np.bool_]
    placed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class AncestryModel:
    """A frozen ancestry reference, fitted once. `version` is the digest of its content."""

    name: str
    build: str | None
    version: str
    n_people: int
    component_mean: Floats
    component_sd: Floats
    groups: tuple[str, ...]
    centres: Floats  # (group, component), standardised
    covariances: Floats  # (group, component, component)
    sites: SiteTable
    scores: Mapping[str, Adjustment]
    score_parts: Mapping[str, pa.Table]  # per score: site, slopes on the components, variance

    @property
    def label(self) -> str:
        """The name under which a result says which reference it was compared with."""
        return f"{self.name} {self.version[:12]}"

    def standardise(self, components: Floats) -> Floats:
        """Components (person, component) in SD of the reference."""
        standard: Floats = (components - self.component_mean) / self.component_sd
        return standard

    def place(self, components: Floats, *, beyond: float = BEYOND) -> Placement:
        """Place people by their raw components (person, component), which are nan where they are not known."""
        everybody = self.standardise(components)
        placed = np.isfinite(everybody).all(axis=1)
        standard = everybody[placed]
        from scipy.special import chdtri  # half a second that scoring without a reference does not need

        if not len(standard):
            return _nowhere(everybody)
        squares, logs = self._by_group(standard)
        weight = np.exp(logs - logs.max(axis=1, keepdims=True))
        probability = weight / weight.sum(axis=1, keepdims=True)
        best = probability.argmax(axis=1)
        distance = np.minimum(np.sqrt(squares.min(axis=1)), self._from_mixtures(standard))
        limit = float(np.sqrt(chdtri(standard.shape[1], beyond)))
        out = _nowhere(everybody)
        out.group[placed] = np.array(self.groups)[best]
        out.probability[placed] = probability[np.arange(len(best)), best]
        out.distance[placed], out.beyond[placed], out.placed[placed] = distance, distance > limit, True
        return out

    def _by_group(self, standard: Floats) -> tuple[Floats, Floats]:
        """Squared Mahalanobis distance to each group, and log density with equal priors (person, group)."""
        squares = np.empty((len(standard), len(self.groups)))
        log_volume = np.empty(len(self.groups))
        for number, (centre, covariance) in enumerate(zip(self.centres, self.covariances, strict=True)):
            root = np.linalg.cholesky(covariance)
            squares[:, number] = (np.linalg.solve(root, (standard - centre).T) ** 2).sum(axis=0)
            log_volume[number] = np.log(np.diag(root)).sum()
        return squares, -0.5 * squares - log_volume

    def _from_mixtures(self, standard: Floats) -> Floats:
        """How far outside every mixture of the groups' centres: admixed people lie between them, others do not."""
        from scipy.optimize import nnls

        root = np.linalg.inv(np.linalg.cholesky(self.covariances.mean(axis=0)))
        corners = np.vstack([root @ self.centres.T, np.full(len(self.groups), _SUM_TO_ONE)])
        points = standard @ root.T
        return np.array([nnls(corners, np.append(point, _SUM_TO_ONE))[1] for point in points])


def _nowhere(standard: Floats) -> Placement:
    n = len(standard)
    unknown, no = np.full(n, np.nan), np.zeros(n, np.bool_)
    return Placement(standard, np.full(n, "", np.dtypes.StringDType()), unknown, unknown.copy(), no, no.copy())


@dataclass(frozen=True, slots=True)
class Projection:
    """The way from sums over the reference's sites to components: a `Contribution` for each component, then the matrix
    `mix`.

    `drift`: the value of each sum if every call were missing and stood at its frequency; 0 where that is the
    reference's own. `found`: the share of the reference's sites that the genotypes have.
    """

    contributions: tuple[Contribution, ...]
    mix: Floats
    drift: Floats
    found: float

    def components(self, sums: Floats, hidden: Floats, *, called: Floats) -> Floats:
        """Raw components (person, component) from sums (component, person); nan where too little is called.

        `hidden` (component, person): share of each sum's variance at missing calls. `called` (person,): share of the
        sites that is called. A missing call says nothing: the value it stands at is taken off, and the called sites
        speak for the others. That is the least-squares projection on these alone where calls are missing at random over
        the sites.
        """
        seen = 1 - hidden
        enough = (called * self.found >= MIN_PLACED) & (seen > 0).all(axis=0)
        raw = (sums - hidden * self.drift[:, None]) / np.where(enough, seen, 1)
        components: Floats = np.where(enough[:, None], raw.T @ self.mix, np.nan)
        return components


def projection(model: AncestryModel, target: TargetIndex, *, alleles: Alleles, frequencies: Floats) -> Projection:
    """Project by least squares on the loadings at the sites that the genotypes have, with either allele as their
    reference.

    `frequencies` (variant,): of each variant's alternate allele, at which missing calls stand.
    """
    sites = model.sites
    variant, turned = _find(sites, target, alleles=alleles)
    use = sites.of_components & (variant >= 0)
    loadings = sites.loadings[use] / sites.scale[use, None]
    gram = sites.loadings[use].T @ sites.loadings[use]
    share_found = float(use.sum() / max(sites.of_components.sum(), 1))
    if share_found < MIN_PLACED:
        return Projection((), np.empty((0, 0)), np.empty(0), share_found)
    order = np.argsort(variant[use], kind="stable")
    codes = variant[use][order] * 2
    sign = np.where(turned[use], -1.0, 1.0)[order]
    expected = np.where(turned[use], 2 - sites.mean[use], sites.mean[use])[order]
    missing = 2 * frequencies[codes >> 1] - expected
    parts, drift = [], np.empty(loadings.shape[1])
    for k in range(loadings.shape[1]):
        weight = loadings[order, k] * sign
        drift[k] = weight @ missing
        parts.append(Contribution(codes, weight, None, float(-(weight @ expected))))
    return Projection(tuple(parts), np.linalg.inv(gram).astype(np.float64), drift, share_found)


def reference_frequencies(model: AncestryModel, target: TargetIndex, *, alleles: Alleles) -> Floats:
    """The reference's frequency (variant,) of each variant's alternate allele, nan where it has none."""
    variant, turned = _find(model.sites, target, alleles=alleles)
    by_variant = np.full(len(target.variants), np.nan)
    here = variant >= 0
    frequency = np.where(turned, 1 - model.sites.frequency, model.sites.frequency)
    by_variant[variant[here]] = frequency[here]
    return by_variant


def model_sites(model: AncestryModel, alleles: Alleles) -> tuple[Ints, Codes, Codes]:
    """Position key, REF and ALT (site,) of each of the reference's sites."""
    sites = model.sites
    ref, alt = ([alleles.code(name) for name in names] for names in (sites.ref, sites.alt))
    return sites.keys, np.array(ref, np.int32), np.array(alt, np.int32)


def _find(sites: SiteTable, target: TargetIndex, *, alleles: Alleles) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each site the variant with its alleles, -1 where there is none, and whether REF and ALT change places."""
    ref = np.array([alleles.code(name) for name in sites.ref], np.int32)
    alt = np.array([alleles.code(name) for name in sites.alt], np.int32)
    low, high = (np.searchsorted(target.keys, sites.keys, side=side) for side in ("left", "right"))
    variant = np.full(len(sites.keys), -1, np.int64)
    turned = np.zeros(len(sites.keys), np.bool_)
    variants = target.variants
    for step in range(int((high - low).max(initial=0))):
        place = np.minimum(low + step, max(len(target.keys) - 1, 0))
        candidate = place if target.order is None else target.order[place]
        inside = (low + step < high) & (variant < 0)
        same = inside & (variants.ref[candidate] == ref) & (variants.alt[candidate] == alt)
        swapped = inside & (variants.ref[candidate] == alt) & (variants.alt[candidate] == ref)
        swapped &= ~variants.multiallelic[candidate]
        variant[same | swapped] = candidate[same | swapped]
        turned[swapped] = True
    return variant, turned


def write_model(model: AncestryModel, folder: Path) -> None:
    """Write model.json, sites.parquet and one parts/*.parquet for each score; `folder` must not exist or be empty."""
    (folder / "parts").mkdir(parents=True)
    pq.write_table(_site_table(model.sites), folder / SITES)
    for score_id, table in model.score_parts.items():
        pq.write_table(table, folder / "parts" / _part_name(score_id))
    (folder / MODEL).write_text(json.dumps(_as_json(model, folder), indent=1) + "\n")


def read_model(folder: Path) -> AncestryModel:
    """Read a frozen reference. Raises PresageError where a file is missing or differs from the one that was frozen."""
    path = folder / MODEL
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        if told["format"] != FORMAT:
            raise PresageError(
                str(path),
                f"an ancestry reference of format {FORMAT}",
                found=f"format {told['format']}",
                way_out="fit the reference again",
            )
        for name, digest in told["files"].items():
            if _digest(folder / name) != digest:
                raise PresageError(
                    str(folder / name), "the file that was frozen", found="another", way_out="fit the reference again"
                )
        return _from_json(told, folder)
    except FileNotFoundError as error:
        raise PresageError(
            str(error.filename),
            "a file of an ancestry reference",
            found="no such file",
            way_out="make a reference: presage ancestry fit PANEL --out MODEL",
        ) from error
    except (KeyError, TypeError, ValueError, pa.ArrowInvalid) as error:
        raise PresageError(
            str(path), "an ancestry reference", found="a file of another kind", way_out="fit the reference again"
        ) from error


def _as_json(model: AncestryModel, folder: Path) -> dict[str, Any]:
    names = [SITES, *(f"parts/{_part_name(score_id)}" for score_id in model.score_parts)]
    files = {name: _digest(folder / name) for name in names}
    content = {
        "format": FORMAT,
        "name": model.name,
        "build": model.build,
        "n_people": model.n_people,
        "component_mean": model.component_mean.tolist(),
        "component_sd": model.component_sd.tolist(),
        "groups": list(model.groups),
        "centres": model.centres.tolist(),
        "covariances": model.covariances.tolist(),
        "scores": {score_id: _adjustment_json(fit) for score_id, fit in sorted(model.scores.items())},
        "files": files,
    }
    return {"version": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()} | content


def _adjustment_json(fit: Adjustment) -> dict[str, Any]:
    return {
        "n_reference": fit.n_reference,
        "mean": fit.mean.tolist(),
        "sd": fit.sd,
        "joint_mean": fit.joint_mean.tolist(),
        "log_variance": fit.log_variance.tolist(),
        "quantiles": fit.quantiles.tolist(),
    }


def _from_json(told: dict[str, Any], folder: Path) -> AncestryModel:
    scores = {
        score_id: Adjustment(
            n_reference=fit["n_reference"],
            mean=np.array(fit["mean"]),
            sd=fit["sd"],
            joint_mean=np.array(fit["joint_mean"]),
            log_variance=np.array(fit["log_variance"]),
            quantiles=np.array(fit["quantiles"]),
        )
        for score_id, fit in told["scores"].items()
    }
    parts = {
        score_id: pq.read_table(folder / "parts" / _part_name(score_id))
        for score_id in scores
        if f"parts/{_part_name(score_id)}" in told["files"]
    }
    return AncestryModel(
        name=told["name"],
        build=told["build"],
        version=told["version"],
        n_people=told["n_people"],
        component_mean=np.array(told["component_mean"]),
        component_sd=np.array(told["component_sd"]),
        groups=tuple(told["groups"]),
        centres=np.array(told["centres"]),
        covariances=np.array(told["covariances"]),
        sites=_sites(pq.read_table(folder / SITES)),
        scores=scores,
        score_parts=parts,
    )


def _site_table(sites: SiteTable) -> pa.Table:
    columns = {
        "key": sites.keys,
        "ref": sites.ref,
        "alt": sites.alt,
        "frequency": sites.frequency,
        "mean": sites.mean,
        "scale": sites.scale,
    }
    return pa.table(columns | {f"PC{k + 1}": sites.loadings[:, k] for k in range(sites.loadings.shape[1])})


def _sites(table: pa.Table) -> SiteTable:
    names = [name for name in table.column_names if name.startswith("PC")]
    return SiteTable(
        keys=table["key"].to_numpy(),
        ref=tuple(table["ref"].to_pylist()),
        alt=tuple(table["alt"].to_pylist()),
        frequency=table["frequency"].to_numpy(),
        mean=table["mean"].to_numpy(),
        scale=table["scale"].to_numpy(),
        loadings=np.column_stack([table[name].to_numpy() for name in names]),
    )


def _part_name(score_id: str) -> str:
    """A score's id may hold what a file name may not."""
    return hashlib.sha256(score_id.encode()).hexdigest()[:16] + ".parquet"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
