"""The routes of the worklist: each parses a request, asks one question, and renders the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serving.access import roles as access
from serving.flagging import GeneticRecord
from serving.store import Count, Filter, Flag, repository, transaction
from serving.web import figures, wording
from training.disclosure import suppress

HERE = Path(__file__).parent
STATUSES = ("open", "accepted", "deferred", "dismissed", "done")
Decision = Literal["accepted", "deferred", "dismissed", "done", "reopened"]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model that serves, as a data scientist sees it: no person is in it."""

    name: str
    version: str
    digest: str
    study: str
    horizons: str
    features: int
    metrics: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Backstage:
    """The parts that the pages stand on."""

    door: Callable[[], access.Door]
    genetics: Callable[[int, datetime], GeneticRecord]
    models: Callable[[], list[ModelRow]]
    refused: Mapping[str, str]  # models that do not serve, and why
    clock: Callable[[], datetime] = lambda: datetime.now(UTC).replace(tzinfo=None)


class WorklistQuery(BaseModel):
    """The filters of the worklist."""

    model_config = ConfigDict(extra="ignore")
    status: Literal["open", "accepted", "deferred", "dismissed", "done"] = "open"
    policy: str = ""
    genetic: Literal["", "finding", "uncertain", "negative", "not tested"] = ""
    q: str = ""


def pages(backstage: Backstage) -> FastAPI:
    """Make the application of the pages, which is mounted in the service."""
    app = FastAPI(title="Presage worklist", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    view = View(backstage)
    for add in (_front_door, _worklist, _decisions, _people, _aggregates, _errors):
        add(app, view)
    return app


class View:
    """Renders templates, with the signed-in user, the time, and the filters of our wording."""

    def __init__(self, backstage: Backstage) -> None:
        self.backstage = backstage
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for words in (wording.percent, wording.out_of_100, wording.horizon, wording.day, wording.due):
            self._templates.filters[words.__name__] = words
        self._templates.filters["capitalised"] = wording.capitalised
        self._templates.globals.update(hundred_people=figures.hundred_people, share_bar=figures.share_bar)

    def __call__(
        self, request: Request, template: str, values: Mapping[str, object], *, status: int = 200
    ) -> HTMLResponse:
        """The page, or the fragment that htmx asked for."""
        session = session_of(request)
        today = self.backstage.clock().date()
        everywhere = {
            "tomorrow": today + timedelta(days=1),
            "next_month": today + timedelta(days=28),
            "fragment": "hx-request" in request.headers,
            "viewer": session.viewer if session else None,
            "token": self.backstage.door().signer.form_token(session.nonce) if session else "",
            "today": today,
            "path": request.url.path,
        }
        return HTMLResponse(self._templates.get_template(template).render({**values, **everywhere}), status_code=status)


def session_of(request: Request) -> access.Session | None:
    """The session that the gate let in with a cookie; None where there is none."""
    session = request.scope.get("presage.session")
    return session if isinstance(session, access.Session) else None


def _signed_in(request: Request) -> access.Session:
    session = session_of(request)
    if session is None:
        raise HTTPException(401, "Sign in first.")
    return session


def _checked(view: View, request: Request, *, token: str) -> access.Session:
    """The session of a form that came from our own page."""
    session = _signed_in(request)
    if not view.backstage.door().signer.is_form_token(session.nonce, token):
        raise HTTPException(403, "This form is out of date. Load the page again.")
    return session


def _front_door(app: FastAPI, view: View) -> None:
    @app.get("/")
    def home(request: Request) -> Response:
        return RedirectResponse(access.HOME.get(_signed_in(request).viewer.role, "/sign-in"), status_code=303)

    @app.get("/sign-in")
    def sign_in_page(request: Request, onward: str = "") -> Response:
        nonce = request.cookies.get(access.PRE_COOKIE) or access.new_nonce()
        page = view(request, "sign_in.html", {"onward": onward, "refused": "", "form": _form(view, nonce), "name": ""})
        _set_cookie(view, page, name=access.PRE_COOKIE, value=nonce)
        return page

    @app.post("/sign-in")
    def sign_in(
        request: Request,
        name: Annotated[str, Form(max_length=200)],
        password: Annotated[str, Form(max_length=1000)],
        token: Annotated[str, Form(max_length=200)] = "",
        onward: Annotated[str, Form(max_length=500)] = "",
    ) -> Response:
        nonce = request.cookies.get(access.PRE_COOKIE, "")
        if not nonce or not view.backstage.door().signer.is_form_token(nonce, token):
            return _refused(
                view,
                request,
                reason="This page was open for too long. Please try again.",
                name=name,
                onward=onward,
                status=403,
            )
        door = view.backstage.door()
        answer = access.sign_in(door.engine, name=name.strip(), password=password, now=view.backstage.clock())
        if isinstance(answer, access.Refused):
            return _refused(view, request, reason=answer.reason, name=name, onward=onward, status=401)
        response = RedirectResponse(_inside(onward) or access.HOME[answer.role], status_code=303)
        _set_cookie(view, response, name=access.COOKIE, value=door.signer.session_cookie(answer))
        response.delete_cookie(access.PRE_COOKIE, path="/sign-in")
        return response

    @app.post("/sign-out")
    def sign_out(request: Request, token: Annotated[str, Form()] = "") -> Response:
        session = _checked(view, request, token=token)
        with transaction(view.backstage.door().engine) as connection:
            repository.end_sessions(connection, session.viewer.user_id)
        response = RedirectResponse("/sign-in", status_code=303)
        response.delete_cookie(access.COOKIE)
        return response


def _refused(view: View, request: Request, *, reason: str, name: str, onward: str, status: int) -> Response:
    nonce = access.new_nonce()
    page = view(
        request,
        "sign_in.html",
        {"onward": onward, "refused": reason, "form": _form(view, nonce), "name": name},
        status=status,
    )
    _set_cookie(view, page, name=access.PRE_COOKIE, value=nonce)
    return page


def _form(view: View, nonce: str) -> str:
    return view.backstage.door().signer.form_token(nonce)


def _set_cookie(view: View, response: Response, *, name: str, value: str) -> None:
    response.set_cookie(
        name,
        value,
        httponly=True,
        secure=view.backstage.door().secure_cookies,
        samesite="strict",
        path="/sign-in" if name == access.PRE_COOKIE else "/",
        max_age=int(access.SESSION.total_seconds()),
    )


def _inside(address: str) -> str:
    """An address of this service to go on to, or nothing: never another host."""
    parts = urlsplit(address)
    safe = address.startswith("/") and not address.startswith(("//", "/\\")) and not parts.netloc
    return address if safe else ""


def _worklist(app: FastAPI, view: View) -> None:
    @app.get("/worklist")
    def worklist(request: Request) -> Response:
        viewer = _signed_in(request).viewer
        query = WorklistQuery.model_validate(dict(request.query_params))
        wanted = Filter(query.status, query.policy or None, query.genetic or None, query.q.strip()[:100])
        now = view.backstage.clock()
        with transaction(view.backstage.door().engine) as connection:
            listed = repository.worklist(connection, viewer, wanted=wanted, now=now)
            counts = repository.waiting(connection, viewer, today=now.date())
            names = repository.panel_names(connection)
            chosen = repository.policies_in_use(connection, viewer)
        return view(
            request,
            "_flags.html" if "hx-request" in request.headers else "worklist.html",
            {
                "flags": listed,
                "counts": counts,
                "query": query,
                "statuses": STATUSES,
                "panels": sorted(names[panel] for panel in viewer.panel_ids if panel in names),
                "policies": chosen,
            },
        )


def _decisions(app: FastAPI, view: View) -> None:
    @app.post("/flags/{flag_id}/decision")
    def decide(
        request: Request,
        flag_id: int,
        decision: Annotated[Decision, Form()],
        token: Annotated[str, Form()] = "",
        note: Annotated[str, Form(max_length=2000)] = "",
        until: Annotated[date | None, Form()] = None,
    ) -> Response:
        viewer = _checked(view, request, token=token).viewer
        now = view.backstage.clock()
        _check_decision(decision, note=note, until=until, today=now.date())
        with transaction(view.backstage.door().engine) as connection:
            flag = repository.flag_for_decision(connection, viewer, flag_id=flag_id)
            if flag is None:
                raise HTTPException(404, "There is no such flag on your panels.")
            _check_order(flag, decision)
            until = until if decision == "deferred" else None
            repository.decide(connection, viewer, flag=flag, decision=decision, note=note.strip(), until=until, now=now)
            counts = repository.waiting(connection, viewer, today=now.date())
        if "hx-request" not in request.headers:
            return RedirectResponse(_back(request), status_code=303)
        status = "open" if decision == "reopened" else decision
        decided = replace(flag, status=status, deferred_until=until)
        return view(
            request,
            "_decided.html",
            {
                "flag": decided,
                "decision": decision,
                "counts": counts,
                "statuses": STATUSES,
                "current": _status_shown(request),
            },
        )


def _check_decision(decision: Decision, *, note: str, until: date | None, today: date) -> None:
    if decision == "deferred" and (until is None or until <= today):
        raise HTTPException(422, "Defer until a day after today.")
    if decision == "dismissed" and not note.strip():
        raise HTTPException(422, "Say in a few words why this flag is dismissed.")


def _check_order(flag: Flag, decision: Decision) -> None:
    if flag.status == "lapsed":
        raise HTTPException(409, "This flag has lapsed: its reason is gone.")
    if decision == "done" and flag.status != "accepted":
        raise HTTPException(409, "Accept the flag before it is marked as done.")


def _status_shown(request: Request) -> str:
    """The tab of the page that htmx asks from; none on a person's page."""
    address = urlsplit(request.headers.get("hx-current-url", ""))
    return parse_qs(address.query).get("status", ["open"])[0] if address.path == "/worklist" else ""


def _back(request: Request) -> str:
    referer = urlsplit(request.headers.get("referer", ""))
    return referer.path if referer.path.startswith("/people/") else "/worklist"


def _people(app: FastAPI, view: View) -> None:
    @app.get("/people/{subject_id}")
    def person(request: Request, subject_id: int) -> Response:
        viewer = _signed_in(request).viewer
        now = view.backstage.clock()
        with transaction(view.backstage.door().engine) as connection:
            someone = repository.person(connection, viewer, subject_id=subject_id, now=now)
            if someone is None:
                raise HTTPException(404, "There is nobody with this number on your panels.")
            values: dict[str, object] = {
                "flags": repository.flags_of(connection, viewer, subject_id=subject_id),
                "history": repository.history_of(connection, viewer, subject_id=subject_id),
                "receipts": repository.receipts_of(connection, viewer, subject_id=subject_id),
                "genetics": view.backstage.genetics(subject_id, now),
            }
        return view(request, "person.html", values | {"person": someone})


def _aggregates(app: FastAPI, view: View) -> None:
    @app.get("/programme")
    def programme(request: Request) -> Response:
        with transaction(view.backstage.door().engine) as connection:
            counted = repository.counts(connection)
            repository.add_audit(
                connection,
                user_id=_signed_in(request).viewer.user_id,
                action="counts",
                now=view.backstage.clock(),
            )
            runs = repository.last_runs(connection)
        return view(request, "programme.html", {"tables": programme_tables(counted), "runs": runs})

    @app.get("/models")
    def models(request: Request) -> Response:
        backstage = view.backstage
        return view(request, "models.html", {"models": backstage.models(), "refused": dict(backstage.refused)})


@dataclass(frozen=True, slots=True)
class CountTable:
    """A suppressed table of one policy: panels by status; None is a count that is not shown."""

    title: str
    rows: tuple[tuple[str, tuple[int | None, ...], int | None], ...]
    columns: tuple[str, ...]
    totals: tuple[int | None, ...]
    total: int | None


def programme_tables(counted: list[Count]) -> list[CountTable]:
    """One table for each policy, small counts and what gives them away suppressed."""
    columns = (*STATUSES, "lapsed")
    tables = []
    for title in dict.fromkeys(count.policy_title for count in counted):
        mine = [count for count in counted if count.policy_title == title]
        panels = sorted({count.panel for count in mine})
        cells = [
            [sum(c.people for c in mine if c.panel == panel and c.status == status) for status in columns]
            for panel in panels
        ]
        shown = suppress(cells)
        rows = tuple(zip(panels, shown.cells, shown.row_totals, strict=True))
        tables.append(CountTable(title, rows, columns, shown.column_totals, shown.total))
    return tables


def _errors(app: FastAPI, view: View) -> None:
    @app.exception_handler(HTTPException)
    async def told(request: Request, error: HTTPException) -> Response:
        return await run_in_threadpool(_error_page, view, request, status=error.status_code, reason=str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        field = str(error.errors()[0]["loc"][-1])
        return await run_in_threadpool(
            _error_page, view, request, status=422, reason=f"The field '{field}' is not filled in as expected."
        )


def _error_page(view: View, request: Request, *, status: int, reason: str) -> Response:
    template = "_error.html" if "hx-request" in request.headers else "error.html"
    return view(request, template, {"reason": reason, "status": status}, status=status)
