"""The service: the score API, and the pages mounted beside it, behind one gate. One process."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import socket
import sys
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

# Before BentoML and MLflow are imported: they read them then.
os.environ["BENTOML_DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"

import anyio.to_thread
import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's own deprecations are its to mend
    import bentoml

from features.errors import PresageError
from features.record import Record
from serving.access import Door, Gate, Signer
from serving.api import NOBODY, SENT, People, PersonData, ScoreRequest, ScoreResponse, response_of, score_one
from serving.edge import Bodies, Problems, Readiness, SecurityHeaders, problem
from serving.flagging import GeneticRecord, genetic_records
from serving.scoring import NO_ONE, Champion, Champions, Watch, frame_of
from serving.settings import Settings
from serving.store import Viewer, open_store, repository, transaction
from serving.web.pages import Backstage, ModelRow, pages
from serving.web.wording import horizon

NOBODYS_DAY = "2020-01-01T00:00:00"
NOBODYS_EVENTS = (
    {"code": "MEDS_BIRTH", "time": "1960-01-01T00:00:00"},
    {"code": "Gender//F"},
    {"code": "Visit//OP", "time": "2015-01-01T00:00:00"},
)
TIMEOUT_SECONDS = 30  # BentoML keeps a request's memory for as long as this
# BentoML logs a request that fails validation with the value that failed: only the kind of error may be logged.
_TALKATIVE = ("bentoml._internal.server.http_app", "_bentoml_impl.server.app", "bentoml.serve")


class UnseenError(Exception):
    """Somebody the viewer may not look at, or who does not exist: the answer is the same."""


@dataclass(frozen=True)
class Backend:
    """The parts that the service stands on (record, store, champions), opened when they are first needed."""

    settings: Settings
    champions: Champions = field(default_factory=Champions)
    look_every_seconds: float = 30  # for another champion

    @cached_property
    def people(self) -> People:
        """The record's people, one at a time."""
        return People(self.settings.record)

    @cached_property
    def opened(self) -> Door:
        """The store, at its last migration, and the signing secret."""
        return Door(open_store(self.settings.store_url), Signer(self.settings.secret()), self.settings.secure_cookies)

    def door(self) -> Door:
        """The store and the signing secret, for code that asks for them later."""
        return self.opened

    def genetics(self, subject_id: int, now: datetime) -> GeneticRecord:
        """A person's laboratory results as known now; none where the service has no record."""
        if self.settings.record is None:
            return GeneticRecord()
        by_subject = genetic_records(self.settings.record, as_of=now, subject_ids=[subject_id])
        return by_subject.get(subject_id, GeneticRecord())

    def score(self, viewer: Viewer, request: ScoreRequest) -> ScoreResponse:
        """Score a person and return the receipt.

        The audit row is written before anything about a person is read; without it nothing is read. Raises UnseenError
        for somebody who is on none of the viewer's panels, or whom the record does not know.
        """
        champion = self.champions.get(request.model)
        now = datetime.now(UTC).replace(tzinfo=None)
        seen = self.people.panel(request.subject_id) if request.subject_id is not None else None
        with transaction(self.opened.engine) as connection:
            if request.subject_id is not None:
                held = {name for key, name in repository.panel_names(connection).items() if key in viewer.panel_ids}
                if seen not in held:
                    raise UnseenError(NOBODY)
            repository.add_audit(
                connection,
                user_id=viewer.user_id,
                action="scored",
                now=now,
                subject_ids=[request.subject_id],
                detail=f"{champion.name} version {champion.version}",
            )
        if request.person is not None:
            record = self.people.sent(request.person, as_of=request.as_of, champion=champion)
            subject_id = SENT
        else:
            subject_id = int(request.subject_id or 0)
            record = self.people.known(subject_id)
        receipt = score_one(champion, record, as_of=request.as_of, subject_id=subject_id)
        return response_of(receipt, subject_id=request.subject_id)

    def warm(self, champion: Champion) -> None:
        """Score a made-up person with a champion, so that the first real person does not wait until statements are
        planned.

        Whether the made-up person belongs to the studied population or not, every step of scoring is gone through once.
        """
        as_of = datetime.fromisoformat(NOBODYS_DAY)
        nobody_at_all = PersonData.model_validate({"events": NOBODYS_EVENTS})
        record = self.people.sent(nobody_at_all, as_of=as_of, champion=champion)
        score_one(champion, record, as_of=as_of, subject_id=SENT)
        nobody, day = np.array([SENT], dtype=np.int64), np.array([NOBODYS_DAY], dtype="datetime64[us]")
        champion.bundle.risk(frame_of(champion, record, subject_ids=nobody, as_of=day))
        if self.settings.record is not None:
            self.people.panel(NO_ONE)
            self.people.known(NO_ONE)

    def told(self) -> dict[str, object]:
        """What a probe is told: which versions serve, and where vocabularies are not those a model was learned by."""
        differs = self.people.hierarchy.differs
        return {**self.champions.told(), **({"vocabularies": differs} if differs else {})}

    def models(self) -> list[ModelRow]:
        """The champions as the models page shows them to a data scientist."""
        return [
            ModelRow(
                name=champion.name,
                version=champion.version,
                digest=champion.bundle.digest,
                study=champion.bundle.name,
                horizons=", ".join(horizon(days) for days in champion.horizons_days),
                features=len(champion.bundle.names),
                metrics=champion.metrics(),
            )
            for champion in self.champions.held()
        ]


def service(backend: Backend, *, metrics: bool) -> Any:
    """The BentoML service on this backend; `to_asgi()` makes the application that `presage serve` runs."""

    class Presage:
        """Risk of one person as a receipt."""

        def __init__(self) -> None:
            backend.door()
            backend.champions.prepare = backend.warm
            backend.champions.refresh()
            self._watch = Watch(backend.champions, every_seconds=backend.look_every_seconds)
            self._watch.start()
            gc.collect()
            gc.freeze()  # what was loaded lives as long as the process: no collection needs to visit it again
            atexit.register(gc.unfreeze)  # else DuckDB's bindings report at the end what nobody may collect

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]
        def stop(self) -> None:
            """The service ends."""
            self._watch.stop()

        @bentoml.api(route="/api/score")  # type: ignore[untyped-decorator]
        async def score(self, request: ScoreRequest, /, ctx: bentoml.Context) -> ScoreResponse:
            """Score somebody of the record, or a person whose events are sent."""
            viewer = ctx.request.scope["presage.viewer"]
            try:
                return await anyio.to_thread.run_sync(backend.score, viewer, request)
            except UnseenError as error:
                refusal = problem(404, "subject_id", expected=str(error))
            except PresageError as error:
                refusal = problem(422, error.where, expected=error.rule, way_out=error.way_out)
            ctx.response.status_code = refusal.status_code
            return refusal  # type: ignore[return-value]  # BentoML sends a ready answer as it is

    made = bentoml.service(
        name="presage",
        traffic={"timeout": TIMEOUT_SECONDS},
        logging={"access": {"enabled": False}},
        metrics={"enabled": metrics},
        workers=1,
    )(Presage)
    made.mount_asgi_app(
        pages(Backstage(backend.door, backend.genetics, backend.models, backend.champions.refused)), path="/"
    )
    _guard(made, backend)
    return made


def _guard(made: Any, backend: Backend) -> None:
    """From the outside in: the first middleware sees a request first and its answer last."""
    made.add_asgi_middleware(SecurityHeaders, secure=backend.settings.secure_cookies)
    made.add_asgi_middleware(Problems)
    made.add_asgi_middleware(Readiness, told=backend.told)
    made.add_asgi_middleware(Bodies)
    made.add_asgi_middleware(Gate, door=backend.door)


def application(backend: Backend, *, metrics: bool = True) -> Any:
    """The ASGI application, with logs that hold no value of a person. Only one of a process can keep metrics."""
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_only_the_kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return service(backend, metrics=metrics).to_asgi()


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Run the service in this process until it is stopped. There is no access log, because addresses name people.

    A record that is none, a port that is taken and a short secret are told before anything is loaded.
    """
    import uvicorn

    backend = Backend(settings)
    if settings.record is not None:
        Record.open(settings.record)
    backend.door()
    listening = _listen(host, port)
    config = uvicorn.Config(
        application(backend),
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        log_level="warning",
    )
    people = "nobody can be scored by id: no --record" if settings.record is None else f"record {settings.record}"
    address = f"[{host}]" if ":" in host else host
    sys.stderr.write(f"presage: serving http://{address}:{port} ({people}); Ctrl-C ends it\n")
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """The socket of the service. Raises PresageError where it cannot be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
    except (OSError, UnicodeError):
        raise PresageError("--host", "an address of this machine", found=host, way_out="give 127.0.0.1") from None
    try:
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        why = os.strerror(error.errno or 0).lower()
        raise PresageError(
            f"{host}:{port}", "an address and a port that are free here", found=why, way_out="choose another --port"
        ) from None
    return listening


def _only_the_kind(record: logging.LogRecord) -> bool:
    if record.exc_info and record.exc_info[0] is not None:
        record.msg, record.args = f"{record.getMessage()}: {record.exc_info[0].__name__}", ()
        record.exc_info = None
    return True
