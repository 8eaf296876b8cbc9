from __future__ import annotations

from datetime import timedelta

import pytest
from rich.console import Console
from sqlalchemy import func, select
from starlette.testclient import TestClient
from typer.testing import CliRunner

from features.errors import PresageError
from serving.access import sign_ins
from serving.access.roles import LOCK, TRIES, Refused, Signer, hash_password, sign_in
from serving.cli import app
from serving.settings import Settings
from serving.store import repository
from serving.store.engine import transaction
from serving.store.rows import Viewer
from serving.store.schema import audit, users
from tests.serving.conftest import NORTH, NOW, PASSWORD, SOUTH, Browser, Hospital, token_in

PAGES = {"/worklist": "ada", "/people/101": "ada", "/programme": "lena", "/models": "dana"}


def test_nobody_gets_past_the_gate_without_signing_in(client: TestClient) -> None:
    for path in (*PAGES, "/", "/nowhere", "/docs.json", "/schema.json"):
        answer = client.get(path, follow_redirects=False)
        assert answer.status_code in (303, 401), path
        assert not answer.text or "P-48213" not in answer.text
    for path in ("/flags/1/decision", "/sign-out"):
        answer = client.post(path, data={"decision": "accepted"}, follow_redirects=False)
        assert answer.status_code == 401
    assert client.post("/api/score", json={}).status_code == 401
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("name", ["ada", "lena", "dana"])
def test_each_role_sees_its_own_pages_and_no_other(browser: Browser, name: str) -> None:
    assert browser.sign_in(name).status_code == 303
    for path, owner in PAGES.items():
        expected = 200 if owner == name else 403
        assert browser.client.get(path).status_code == expected, path
    assert browser.client.get("/nowhere").status_code == 404
    assert (browser.client.get("/metrics").status_code == 403) == (name != "dana")
    assert browser.client.post("/api/score", json={}).status_code == 401, "a cookie opens no API"


def test_somebody_on_another_panel_is_not_found_in_any_way(browser: Browser, hospital: Hospital) -> None:
    flag = hospital.flag_ids()[101]
    browser.sign_in("sol")
    assert "P-90001" in browser.client.get("/worklist").text
    assert "P-48213" not in browser.client.get("/worklist").text
    other, nobody = browser.client.get("/people/101"), browser.client.get("/people/999999")
    assert (other.status_code, other.text) == (404, nobody.text.replace("999999", "101"))
    assert browser.decide(flag, "accepted").status_code == 404
    assert hospital_status(hospital, flag) == "open"


def hospital_status(hospital: Hospital, flag_id: int) -> str:
    with transaction(hospital.engine) as connection:
        return next(s.status for s in repository.last_flags(connection, "chd-10y") if s.flag_id == flag_id)


def test_five_wrong_passwords_lock_the_name_for_a_while(hospital: Hospital) -> None:
    def attempt(password: str, later: timedelta = timedelta(0)) -> Viewer | Refused:
        return sign_in(hospital.engine, name="ada", password=password, now=NOW + later)

    for _ in range(TRIES):
        assert isinstance(attempt("wrong password"), Refused)
    assert isinstance(attempt(PASSWORD), Refused), "the right one does not open a locked name"
    assert isinstance(attempt(PASSWORD, LOCK + timedelta(seconds=1)), Viewer)


def test_the_answer_does_not_tell_whether_a_name_exists(hospital: Hospital) -> None:
    wrong = sign_in(hospital.engine, name="ada", password="wrong password", now=NOW)
    unknown = sign_in(hospital.engine, name="nobody", password="wrong password", now=NOW)
    assert isinstance(wrong, Refused)
    assert wrong == unknown


def test_passwords_are_kept_as_argon2id_and_short_ones_refused(hospital: Hospital) -> None:
    with transaction(hospital.engine) as connection:
        kept = connection.scalars(select(users.c.password_hash)).all()
    assert all(value.startswith("$argon2id$") for value in kept)
    with pytest.raises(PresageError, match="password: expected 12 characters or more"):
        hash_password("short")


def test_the_session_cookie_is_closed_to_scripts_and_other_sites(browser: Browser) -> None:
    cookie = browser.sign_in("ada").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_signing_out_kills_a_copied_cookie_too(browser: Browser) -> None:
    browser.sign_in("ada")
    stolen = browser.client.cookies.get("presage_session")
    token = token_in(browser.client.get("/worklist").text)
    browser.client.post("/sign-out", data={"token": token}, follow_redirects=False)
    browser.client.cookies.clear()
    headers = {"cookie": f"presage_session={stolen}"}
    answer = browser.client.get("/worklist", headers=headers, follow_redirects=False)
    assert answer.status_code == 303


def test_a_forged_or_altered_cookie_opens_nothing(browser: Browser, hospital: Hospital) -> None:
    browser.sign_in("ada")
    good = str(browser.client.cookies.get("presage_session"))
    with transaction(hospital.engine) as connection:
        viewer = repository.viewer_by_id(connection, 1)
    assert viewer is not None
    forged = Signer(b"another secret of thirty-two bytes").session_cookie(viewer)
    browser.client.cookies.clear()
    for cookie in (forged, good[:-2] + ("aa" if good[-2:] != "aa" else "bb"), "", "x"):
        answer = browser.client.get(
            "/worklist", headers={"cookie": f"presage_session={cookie}"}, follow_redirects=False
        )
        assert answer.status_code == 303


def test_a_form_needs_its_token_and_its_own_site(browser: Browser, hospital: Hospital) -> None:
    flag = hospital.flag_ids()[101]
    browser.sign_in("ada")
    good = token_in(browser.client.get("/worklist").text)
    form = {"decision": "accepted", "token": good}
    address = f"/flags/{flag}/decision"
    assert browser.client.post(address, data=form | {"token": "0" * 64}).status_code == 403
    assert browser.client.post(address, data={"decision": "accepted"}).status_code == 403
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://elsewhere.example"}, {"origin": "null"}):
        assert browser.client.post(address, data=form, headers=headers).status_code == 403
    assert hospital_status(hospital, flag) == "open"
    assert browser.client.post(address, data=form, follow_redirects=False).status_code == 303
    assert hospital_status(hospital, flag) == "accepted"


def test_a_sign_in_goes_on_only_to_this_service(browser: Browser) -> None:
    for onward, expected in (
        ("/people/101", "/people/101"),
        ("https://evil.example/", "/worklist"),
        ("//evil.example", "/worklist"),
        ("/\\evil.example", "/worklist"),
    ):
        browser.client.cookies.clear()
        page = browser.client.get("/sign-in", params={"onward": onward})
        form = {"name": "ada", "password": PASSWORD, "token": token_in(page.text), "onward": onward}
        answer = browser.client.post("/sign-in", data=form, follow_redirects=False)
        assert answer.headers["location"] == expected


def test_every_answer_carries_the_security_headers_and_no_page_loads_from_outside(browser: Browser) -> None:
    browser.sign_in("ada")
    for path in ("/sign-in", "/worklist", "/people/101", "/nowhere", "/static/presage.css"):
        answer = browser.client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert ("no-store" in answer.headers["cache-control"]) == (not path.startswith("/static"))
        if path.endswith("t") or path.startswith("/people"):
            assert "http://" not in answer.text.replace("http://www.w3.org", "")
            assert "https://" not in answer.text
            assert " style=" not in answer.text


def test_each_look_at_a_person_is_in_the_audit_and_no_look_escapes_it(browser: Browser, hospital: Hospital) -> None:
    browser.sign_in("ada")
    browser.client.get("/worklist")
    browser.client.get("/people/102")
    browser.client.get("/people/201")
    with transaction(hospital.engine) as connection:
        rows = connection.execute(select(audit.c.action, audit.c.subject_id).where(audit.c.subject_id.is_not(None)))
        looked = [tuple(row) for row in rows]
    assert sorted(looked) == [("listed", 101), ("listed", 102), ("listed", 103), ("listed", 104), ("opened", 102)]


def test_without_an_audit_row_there_is_no_look(browser: Browser, hospital: Hospital) -> None:
    browser.sign_in("ada")
    with transaction(hospital.engine) as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full_disk BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    with pytest.raises(Exception, match="disk is full"):
        browser.client.get("/people/102")


def test_a_machine_signs_in_by_token_only_and_until_it_expires(hospital: Hospital) -> None:
    sign_ins.add(hospital.engine, name="ehr", role="machine", password=None, panels=["North Clinic"])
    token = sign_ins.make_token(hospital.engine, name="ehr", label="record system", now=NOW, valid=timedelta(days=30))
    from serving.access.roles import token_hash

    with transaction(hospital.engine) as connection:
        found = repository.viewer_by_token(connection, token_hash(token), now=NOW + timedelta(days=29))
        assert found is not None
        assert found.role == "machine"
        assert repository.viewer_by_token(connection, token_hash(token), now=NOW + timedelta(days=31)) is None
        assert repository.viewer_by_token(connection, token_hash(token + "x"), now=NOW) is None
    with pytest.raises(PresageError, match="none for machines"):
        sign_ins.add(hospital.engine, name="ehr2", role="machine", password=PASSWORD, panels=[])


def test_the_demonstration_makes_three_roles_with_new_passwords_each_time(hospital: Hospital) -> None:
    first, second = sign_ins.demo(hospital.engine), sign_ins.demo(hospital.engine)
    assert [row[2] for row in first.rows] == ["care manager", "programme lead", "data scientist"]
    assert {row[1] for row in first.rows}.isdisjoint({row[1] for row in second.rows})
    name, password, _, panels = second.rows[0]
    assert isinstance(sign_in(hospital.engine, name=name, password=password, now=NOW), Viewer)
    assert panels.startswith("North Clinic"), "the panel with the most findings comes first"
    with transaction(hospital.engine) as connection:
        assert connection.scalar(select(func.count(users.c.id))) == 7


@pytest.mark.parametrize(
    ("panels", "said"),
    [
        ([NORTH, "unassigned"], []),
        (["North Clinc"], ["nobody is on panel 'North Clinc' so far; did you mean 'North Clinic'?"]),
        (["north clinic"], ["nobody is on panel 'north clinic' so far; did you mean 'North Clinic'?"]),
        (["Elsewhere", NORTH], ["nobody is on panel 'Elsewhere' so far"]),
    ],
)
@pytest.mark.parametrize("command", ["add", "panels"])
def test_a_panel_that_nobody_is_on_is_told(
    command: str, panels: list[str], said: list[str], hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESAGE_STORE_URL", hospital.settings.store_url)
    monkeypatch.setenv("PRESAGE_PASSWORD", PASSWORD)
    monkeypatch.delenv("PRESAGE_RECORD", raising=False)
    who = ["add", "zoe", "--role", "care manager"] if command == "add" else ["panels", "ada"]
    done = CliRunner().invoke(app, ["user", *who, *(part for panel in panels for part in ("--panel", panel))])
    assert done.exit_code == 0, done.output
    told = [line.removeprefix("presage: ").partition(" (set them")[0] for line in done.stderr.splitlines()]
    assert told == said


def test_a_panel_of_the_record_is_one_before_anybody_of_it_was_flagged(
    clinic: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESAGE_STORE_URL", clinic.store_url)
    monkeypatch.setenv("PRESAGE_RECORD", str(clinic.record))
    panels = ["--panel", SOUTH, "--panel", "Sud Clinic"]
    done = CliRunner().invoke(app, ["user", "add", "ehr", "--role", "machine", *panels])
    assert done.stderr == (
        "presage: nobody is on panel 'Sud Clinic' so far; did you mean 'South Clinic'? "
        "(set them with: presage user panels ehr --panel PANEL)\n"
    )


@pytest.mark.parametrize("name", ["", "   ", "n" * 101, "a\nb", "a\x1b[31m"])
def test_a_name_that_nobody_can_read_or_type_is_refused(hospital: Hospital, name: str) -> None:
    with pytest.raises(PresageError, match="NAME: expected 1 to 100 printable characters"):
        sign_ins.add(hospital.engine, name=name, role="machine", password=None, panels=[])


def test_a_name_is_shown_as_it_is_written(hospital: Hospital, capsys: pytest.CaptureFixture[str]) -> None:
    sign_ins.add(hospital.engine, name="[bold]x[/nope]", role="machine", password=None, panels=[])
    Console(width=200).print(sign_ins.listing(hospital.engine))
    assert "[bold]x[/nope]" in capsys.readouterr().out


def test_nobody_gets_a_token_or_a_password_that_would_not_work(hospital: Hospital) -> None:
    engine = hospital.engine
    sign_ins.add(engine, name="ehr", role="machine", password=None, panels=[])
    sign_ins.disable(engine, name="ehr")
    with pytest.raises(PresageError, match="NAME: expected a sign-in that can be used, found one that is disabled"):
        sign_ins.make_token(engine, name="ehr", label="", now=NOW, valid=timedelta(days=1))
    with pytest.raises(PresageError, match="NAME: expected a sign-in that can be used, found one that is disabled"):
        sign_ins.change_password(engine, name="ehr", password=PASSWORD)
