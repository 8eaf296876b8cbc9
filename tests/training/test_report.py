"""The report as a reader gets it: one file, nothing asked of the network, readable by everybody, nobody in it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from features.errors import PresageError
from tests.made import changed
from tests.training.conftest import Drawn, draw_people
from training.card.items import QUESTIONS
from training.promote import promote
from training.registry.versions import bundle_of, find
from training.report.page import report, story_of
from training.report.render import _environment, render_report
from training.report.view import Story, in_short
from training.result import Metric
from training.validate import validate

NOW = datetime.fromisoformat("2025-01-06T09:00:00")


@pytest.fixture
def page(at_home: Drawn, tmp_path: Path) -> str:
    return report("drawn", "1", out=tmp_path / "page.html").read_text()


def rich(drawn: Drawn, tmp_path: Path) -> Story:
    """A story in which every part of the page has something to show."""
    draw_people(400, seed=8).to_csv(tmp_path / "other.csv", index=False)
    validate("drawn", "1", now=NOW, table=tmp_path / "other.csv", source="Hospital B & sons")
    told = story_of("drawn", "1")
    change = {"value": 0.02, "low": 0.01, "high": 0.03}
    block = told.result.blocks[0].to_json() | {
        "reclassification": [{"cutoff": 0.1, "events": change, "nonevents": change}],
        "net_benefit": [{"cutoff": 0.1, "delta": change}],
        "groups": {
            "ancestry": {"AFR": {"people": 90, "delta": {"c_harrell": change}}, "SAS": {"people": None, "delta": {}}}
        },
    }
    importance = [
        {"feature": "age", "label": "age", "family": "demographics", "modifiable": False, "rank_low": 1, "rank_high": 2}
        | change,
        {"feature": "frail", "label": "frailty <b>", "family": "x", "modifiable": True, "rank_low": 1, "rank_high": 2}
        | change,
    ]
    leakage = {
        "passed": True,
        "sentence": "ok",
        "canaries": 9000,
        "moved": [],
        "people_in_two_splits": 0,
        "suspicious": {},
        "auc": None,
        "auc_earlier": None,
    }
    tuning = {"cox": {"trials": 12, "pruned": 3, "best": {"depth": 3}, "score": 0.123, "splits": {}}}
    more = {"blocks": [block], "importance": importance, "leakage": leakage, "tuning": tuning}
    return replace(told, result=changed(told.result, **more))


def test_a_page_is_one_file_that_asks_for_nothing_and_runs_nothing(page: str) -> None:
    assert not re.findall(r"<script|<link|<img|<iframe|@import|url\(|javascript:", page)
    assert set(re.findall(r'(?:src|href)="([^"]+)"', page)) == set(re.findall(r'href="(#[^"]+)"', page))
    assert "https://" not in page
    assert re.findall(r"http://[^\s\"<]+", page) == ["http://www.w3.org/2000/svg"] * page.count("<svg xmlns")


def test_every_part_of_the_contents_is_there_once(page: str) -> None:
    links = re.findall(r'<a href="#([a-z]+)">', page)
    assert {
        "short",
        "what",
        "flow",
        "candidates",
        "performance",
        "equity",
        "genomics",
        "external",
        "gate",
        "card",
    } <= set(links)
    assert all(page.count(f'id="{link}"') == 1 for link in links)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_pages_numbers_are_the_runs(at_home: Drawn, page: str) -> None:
    document = at_home.document
    metrics = document["chosen"]["metrics"]
    assert f"{metrics['c_harrell']['value']:.3f}" in page
    assert f"{metrics['auc']['low']:.3f} to {metrics['auc']['high']:.3f}" in page
    assert document["blocks"][0]["sentence"] in page
    assert f"{document['people']:,}" in page
    for digest in (document["registered"]["digest"], document["data"]["digest"], document["study_digest"]):
        assert digest in page


@pytest.mark.parametrize(
    ("low", "high", "slope", "equation"),
    [
        (0.4, 0.9, "too extreme", "worse than"),
        (0.9, 1.1, "not at odds", "not surely better"),
        (1.1, 1.4, "too timid", "better than"),
    ],
)
def test_the_first_words_say_what_the_intervals_say(
    at_home: Drawn, low: float, high: float, slope: str, equation: str
) -> None:
    told = story_of("drawn", "1")
    chosen = told.result.chosen.to_json()
    chosen["metrics"]["calibration_slope"] = {"value": (low + high) / 2, "low": low, "high": high}
    delta = {"auc": {"value": 0.0, "low": low - 1, "high": high - 1}}
    known = {"name": "known", "people": 900, "delta": delta}
    said = " ".join(in_short(replace(told, result=changed(told.result, chosen=chosen, equation=known))))
    assert f"Its risks are {slope}" in said
    assert f"It is {equation}" in said
    assert at_home.document["blocks"][0]["sentence"] in said


def test_the_page_says_how_sites_differ_and_what_exactly_right_risks_would_have(at_home: Drawn, page: str) -> None:
    ici = at_home.document["chosen"]["metrics"]["ici"]
    assert f"exactly right risks of as many people would be {ici['if_perfect']:.3f} away by chance" in page
    assert "Site by site" not in page
    told = story_of("drawn", "1")
    auc = {"value": 0.734, "low": 0.7, "high": 0.77}
    by_site = {
        "site North": {"people": 120, "events": 40, "metrics": {"auc": auc}},
        "site <b>": {"people": None, "metrics": {}, "reason": "suppressed"},
    }
    spread = {"sites": 3, "mean": 0.711, "low": 0.69, "high": 0.73, "tau": 0.042, "i2": 0.66}
    between = {"auc": spread | {"predicted_low": 0.623, "predicted_high": 0.799}}
    sites = {"by_site": by_site, "between_sites": between}
    shown = render_report(replace(told, result=changed(told.result, sites=sites)))
    section = shown[shown.index("Site by site") : shown.index('<section id="equity">')]
    assert "North" in section
    assert "site &lt;b&gt;" not in section
    assert "&lt;b&gt;" in section
    for number in ("0.734", "0.711", "0.042", "66 %", "0.623 to 0.799"):
        assert number in section
    assert "Harrell" not in section  # which no site has
    wide = sites | {"between_sites": {"auc": between["auc"] | {"predicted_low": -0.1, "predicted_high": 1.2}}}
    assert "0.000 to 1.000" in render_report(replace(told, result=changed(told.result, sites=wide)))
    few = render_report(replace(told, result=changed(told.result, sites=sites | {"between_sites": {}})))
    assert "Fewer than 3 sites are large enough" in few


def test_a_group_of_few_is_said_to_be_hidden_and_its_number_is_nowhere(at_home: Drawn, page: str) -> None:
    tested = at_home.table[at_home.table["held_out"] == 1]
    few = int((tested["site"] == "C").sum())
    assert 0 < few < 11
    assert at_home.document["groups"]["site"]["C"]["people"] is None
    site = page[page.index("<caption>By site</caption>") :]
    site = site[: site.index("</table>")]
    cells = [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", site, re.DOTALL)]
    assert "hidden" in cells
    assert str(few) not in cells
    assert not re.search(rf"C \(n = {few}\)", page)


def test_nobody_is_in_it(page: str) -> None:
    assert "P2-0" not in page


def test_a_version_a_run_and_a_folder_are_the_same_model(at_home: Drawn, tmp_path: Path) -> None:
    registered = at_home.document["registered"]
    folder = bundle_of("drawn", 1).folder
    digests = {find(target, "latest")[0].digest for target in ("drawn", registered["run_id"], str(folder))}
    assert digests == {registered["digest"]}
    alone = report(str(folder), out=tmp_path / "alone.html").read_text()
    assert "As they stand now" in alone
    with pytest.raises(PresageError, match="expected a run that registered a model, found one that did not"):
        find("0" * 32, "latest")
    with pytest.raises(PresageError, match=r"expected a registered model among .*, found none of that name"):
        find("unheard-of", "latest")
    with pytest.raises(PresageError, match="expected a version that is the champion, found none"):
        find("drawn", "champion")


def test_a_gate_that_nobody_held_is_shown_as_it_stands_and_blanks_are_visible(page: str) -> None:
    assert "As they stand now" in page
    assert "nobody signed it (--signed-by)" in page
    assert page.count('class="blank">') > len(QUESTIONS)
    assert "Gate not passed" in page


def test_promotion_asks_for_what_is_blank_and_keeps_the_answers_and_who_signed(at_home: Drawn, tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(key: str, question: str) -> str:
        asked.append(key)
        return "" if key == "funding" else f"An answer to {key}."

    first = promote("drawn", 1, now=NOW, answers={"ethics": "Said before."}, signed_by="ada", ask=ask)
    assert asked == [key for key in QUESTIONS if key != "ethics"]
    rule = {r.name: r for r in first.rules}["model card signed"]
    assert (rule.verdict, "1 of its answers are blank (--card): funding" in rule.why) == ("fail", True)
    again = promote("drawn", 1, now=NOW, signed_by="ada", ask=lambda key, question: "A grant.")
    assert {r.name: r.verdict for r in again.rules}["model card signed"] == "pass"
    page = report("drawn", "1", out=tmp_path / "signed.html").read_text()
    assert "Signed by <strong>ada</strong>, 2025-01-06T09:00:00 UTC" in page
    assert "An answer to limits." in page
    assert "A grant." in page


def test_text_of_people_cannot_become_markup(at_home: Drawn, tmp_path: Path) -> None:
    page = render_report(rich(at_home, tmp_path))
    assert "frailty &lt;b&gt;" in page
    assert "Hospital B &amp; sons" in page
    assert "frailty <b>" not in page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not on this machine (apt-get install chromium)")
    with playwright_api.sync_playwright() as play:
        arguments = ["--no-sandbox", "--disable-background-networking", "--no-first-run"]
        running = play.chromium.launch(executable_path=path, args=arguments)
        yield running
        running.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1320), ("dark", 1320), ("light", 390)])
def test_the_page_is_accessible_and_never_scrolls_sideways(
    at_home: Drawn, tmp_path: Path, chromium: Any, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    (tmp_path / "rich.html").write_text(render_report(rich(at_home, tmp_path)))
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("console", lambda said: wrong.append(said.text))
    opened.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith("file:") else None)
    opened.goto((tmp_path / "rich.html").as_uri())
    found = axe.run(opened)
    assert found.violations_count == 0, found.generate_report()
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.locator("h1").count() == 1
    assert wrong == []
    context.close()


# Right edges beyond the page, and tables that would have to be scrolled sideways.
TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter(one => {
    const box = one.getBoundingClientRect(), hidden = getComputedStyle(one).overflowX != 'visible';
    return box.width > 0 && (box.right > document.documentElement.clientWidth + 1
        || (hidden && one.scrollWidth > one.clientWidth + 1));
}).map(one => one.tagName + '.' + one.className + ' ' + one.textContent.trim().slice(0, 40))"""


@pytest.mark.parametrize(("medium", "width"), [("screen", 1000), ("screen", 1100), ("screen", 1440), ("print", 680)])
def test_every_table_is_readable_at_a_laptops_width_and_on_paper(
    at_home: Drawn, tmp_path: Path, chromium: Any, medium: str, width: int
) -> None:
    (tmp_path / "rich.html").write_text(render_report(rich(at_home, tmp_path)))
    opened = chromium.new_page(viewport={"width": width, "height": 900})
    opened.emulate_media(media=medium)
    opened.goto((tmp_path / "rich.html").as_uri())
    assert opened.evaluate(TOO_WIDE) == []
    opened.close()


@pytest.mark.parametrize(
    ("high", "said"), [(9.0, '5.0<span class="interval">2.0 to 9.0</span>'), (None, "at least 2.0")]
)
def test_alerts_without_an_upper_limit_are_said_to_have_none(high: float | None, said: str) -> None:
    """A PPV that may be 0 leaves people looked at for one true case without a limit."""
    page = _environment().from_string('{% import "_macros.html" as m %}{{ m.estimate(found, 1) }}')
    assert said in page.render(found=Metric(value=5.0, low=2.0, high=high))
