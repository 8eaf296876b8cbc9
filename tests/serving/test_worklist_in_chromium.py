from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import uvicorn

from serving.access import sign_ins
from serving.flagging.flag import flag
from serving.scoring.champions import Champion, Champions
from serving.scoring.score import score
from serving.service import Backend, application
from serving.settings import Settings
from serving.store.engine import open_store
from tests.serving.conftest import NORTH, PASSWORD
from tests.serving.test_flagging import POLICY

playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not on this machine (apt-get install chromium)")
AS_OF = datetime.fromisoformat("2024-01-01T00:00:00")


@pytest.fixture(scope="module")
def address(champion: Champion, record_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The whole way: reports in the record, scores, a policy, the service on a port."""
    home = tmp_path_factory.mktemp("chromium")
    settings = Settings(home=home, store_url=f"sqlite:///{home / 'presage.db'}", record=record_dir)
    (home / "policy.toml").write_text(POLICY.replace("capacity = 4", "capacity = 24"))
    champions = Champions(load=lambda name: champion, versions=lambda: {champion.name: champion.version})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serving.scoring.score.load_champion", lambda name: champion)
        patch.setattr("serving.flagging.flag.load_version", lambda name, version: champion)
        scores = home / "scores.parquet"
        score("chd-10y", record_dir=record_dir, as_of=AS_OF, out=scores)
        policy = home / "policy.toml"
        flag(scores, policy_path=policy, record_dir=record_dir, settings=settings, now=datetime.now())  # noqa: DTZ005
    engine = open_store(settings.store_url)
    for name, role in (("ada", "care manager"), ("lena", "programme lead"), ("dana", "data scientist")):
        sign_ins.add(engine, name=name, role=role, password=PASSWORD, panels=[NORTH])
    engine.dispose()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    application_ = application(Backend(settings, champions), metrics=False)
    server = uvicorn.Server(uvicorn.Config(application_, port=port, access_log=False, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def chromium() -> Iterator[playwright_api.Browser]:
    with playwright_api.sync_playwright() as play:
        arguments = ["--no-sandbox", "--disable-background-networking", "--no-first-run"]
        running = play.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield running
        running.close()


@pytest.fixture
def page(chromium: playwright_api.Browser, address: str) -> Iterator[playwright_api.Page]:
    """A page that fails the test for any error in its console and any request beyond the service."""
    context = chromium.new_context(base_url=address, viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on(
        "request", lambda asked: wrong.append(asked.url) if not asked.url.startswith((address, "data:")) else None
    )
    yield opened
    context.close()
    assert wrong == []


def sign_in(page: playwright_api.Page, name: str) -> None:
    page.goto("/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()


def test_a_carriers_report_becomes_a_finding_a_flag_and_a_row_above_all_others(page: playwright_api.Page) -> None:
    sign_in(page, "ada")
    row = page.locator("li.flag").first
    assert "P-0011" in row.inner_text()
    assert "Actionable finding" in row.inner_text()
    assert "Refer to the lipid clinic" in row.inner_text()
    row.get_by_role("link", name="P-0011").click()
    page.wait_for_url("**/people/11")
    genetics = page.get_by_role("region", name="Genetic results")
    assert "NM_000527.5:c.1646G>A" in genetics.inner_text()
    assert "Helix Laboratory" in genetics.inner_text()
    assert "Receipt of the score" in page.inner_text("main") or "Not scored" in page.inner_text("main")


def test_tested_negative_and_not_tested_look_different_and_filter_apart(page: playwright_api.Page) -> None:
    sign_in(page, "ada")
    page.get_by_label("Genetic status").select_option("negative")
    playwright_api.expect(page.locator(".genetic-not-tested")).to_have_count(0)
    negative = page.locator("li.flag .genetic-negative").first
    assert negative.inner_text().strip() == "Tested negative"
    assert "Tested negative: APOB, LDLR, PCSK9" in page.locator("li.flag").first.inner_text()
    negative_look = negative.evaluate("e => getComputedStyle(e).borderStyle")
    page.get_by_label("Genetic status").select_option("not tested")
    playwright_api.expect(page.locator(".genetic-negative")).to_have_count(0)
    untested = page.locator("li.flag .genetic-not-tested").first
    assert untested.inner_text().strip() == "Not tested"
    assert untested.evaluate("e => getComputedStyle(e).borderStyle") != negative_look, "not by colour or words alone"


def test_what_somebody_decides_is_remembered(page: playwright_api.Page) -> None:
    sign_in(page, "ada")
    tab = page.get_by_role("link", name="Dismissed")
    row = page.locator("li.flag.risk").first
    who = row.locator(".source-id").inner_text()
    row.locator("summary", has_text="Dismiss").click()
    row.get_by_label("Why it does not help this person").fill("Moved away")
    row.locator("details[open] button").click()
    page.get_by_text(f"{who} dismissed.", exact=True).wait_for()
    tab.click()
    page.wait_for_url("**status=dismissed")
    assert who in page.locator("li.flag").first.inner_text()
    page.get_by_role("link", name=who).click()
    page.wait_for_url("**/people/*")
    history = page.get_by_role("region", name="Flag history")
    assert "Dismissed by ada" in history.inner_text()
    assert "Moved away" in history.inner_text()
    page.goto("/worklist?status=dismissed")
    page.get_by_role("button", name="Open again").click()
    page.get_by_text(f"{who} open again.", exact=True).wait_for()


def test_the_worklist_works_without_javascript(chromium: playwright_api.Browser, address: str) -> None:
    context = chromium.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, "ada")
    who = page.locator("li.flag.risk .source-id").first.inner_text()
    page.locator("li.flag.risk").first.get_by_role("button", name="Accept").click()
    page.wait_for_url("**/worklist")
    page.goto("/worklist?status=accepted")
    assert who in page.locator("li.flag").first.inner_text()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_pages_are_accessible_and_fit_the_screen(
    chromium: playwright_api.Browser, address: str, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    context = chromium.new_context(
        base_url=address, color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True
    )
    page = context.new_page()
    page.goto("/sign-in")
    paths = {"ada": ["/worklist", "/worklist?status=done", "/people/11"], "lena": ["/programme"], "dana": ["/models"]}
    for name, visited in ({"": ["/sign-in"]} | paths).items():
        context.clear_cookies()
        if name:
            sign_in(page, name)
        for path in visited:
            page.goto(path)
            found = axe.run(page)
            assert found.violations_count == 0, f"{path}: {found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
    context.close()


def test_a_programme_lead_sees_counts_and_a_data_scientist_models_and_neither_a_person(
    page: playwright_api.Page,
) -> None:
    sign_in(page, "lena")
    assert "Prevention of coronary disease" in page.inner_text("main")
    assert "P-0" not in page.content()
    page.context.clear_cookies()
    sign_in(page, "dana")
    assert "chd-10y" in page.inner_text("main")
    assert "0.710 (0.660 to 0.760)" in page.inner_text("main")
    assert "P-0" not in page.content()
