"""Who may come in and what each role may see: passwords, sessions, tokens, lock-out, permissions."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy import Connection, Engine

from features.errors import PresageError
from serving.store import Viewer, reading, repository, transaction

WORKLIST, PROGRAMME, MODELS, SCORE = "worklist", "programme", "models", "score"
MAY = {
    "care manager": frozenset({WORKLIST, SCORE}),
    "programme lead": frozenset({PROGRAMME}),
    "data scientist": frozenset({MODELS}),
    "machine": frozenset({SCORE}),
}
HOME = {"care manager": "/worklist", "programme lead": "/programme", "data scientist": "/models"}
SESSION = timedelta(hours=10)  # one shift
TRIES, LOCK = 5, timedelta(minutes=15)
SHORTEST_PASSWORD = 12
COOKIE, PRE_COOKIE = "presage_session", "presage_sign_in"

_HASHER = PasswordHasher()  # argon2id with the library's current parameters
_NOBODY = _HASHER.hash(secrets.token_hex(16))  # an unknown name costs as long as a known one


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in viewer, and the nonce that ties forms to this session."""

    viewer: Viewer
    nonce: str


@dataclass(frozen=True, slots=True)
class Door:
    """The store and the signing secret, by which people are known when they come in."""

    engine: Engine
    signer: Signer
    secure_cookies: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A refused sign-in, with one sentence that does not tell whether the name exists."""

    reason: str
    wait: bool = False


def may(viewer: Viewer, what: str) -> bool:
    """Whether the viewer's role includes a permission (`WORKLIST`, `PROGRAMME`, `MODELS` or `SCORE`)."""
    return what in MAY[viewer.role]


def hash_password(password: str) -> str:
    """An argon2id hash. Raises PresageError for a password too short to protect a person."""
    if len(password) < SHORTEST_PASSWORD:
        raise PresageError("password", f"{SHORTEST_PASSWORD} characters or more")
    return _HASHER.hash(password)


def sign_in(engine: Engine, *, name: str, password: str, now: datetime) -> Viewer | Refused:
    """The viewer of a name and password. Five failures in a row lock the name for 15 minutes."""
    with reading(engine) as connection:
        known = repository.sign_in_by_name(connection, name)
    locked = known is not None and known.locked_until is not None and known.locked_until > now
    right = _matches(known.password_hash if known else None, password)  # outside a transaction: it takes 50 ms
    if known is None or locked or not right or known.disabled:
        if known is not None and not locked:
            with transaction(engine) as connection:
                _count_failure(connection, name, now=now)
        return Refused("Name or password is wrong, or this sign-in is locked for a while.")
    with transaction(engine) as connection:
        viewer = repository.viewer_by_id(connection, known.user_id)
        if viewer is None or viewer.epoch != known.epoch:
            return Refused("Name or password is wrong, or this sign-in is locked for a while.")
        repository.record_sign_in(connection, known.user_id, now=now)
    return viewer


def _matches(password_hash: str | None, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash or _NOBODY, password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def _count_failure(connection: Connection, name: str, *, now: datetime) -> None:
    known = repository.sign_in_by_name(connection, name)
    if known is None:
        return
    failures = known.failures + 1
    locked_until = now + LOCK if failures >= TRIES else None
    repository.record_failure(
        connection, known.user_id, failures=0 if locked_until else failures, locked_until=locked_until
    )


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs sessions and the tokens in forms with the installation's secret."""

    secret: bytes

    def session_cookie(self, viewer: Viewer) -> str:
        """The content of a session's cookie: user, epoch and a nonce, signed and dated."""
        return self._sealer("session").dumps([viewer.user_id, viewer.epoch, new_nonce()])

    def session(self, engine: Engine, cookie: str | None) -> Session | None:
        """The live session of a cookie: signature, age, epoch and user are all checked."""
        if not cookie:
            return None
        try:
            user_id, epoch, nonce = self._sealer("session").loads(cookie, max_age=int(SESSION.total_seconds()))
        except (BadData, ValueError, TypeError):
            return None
        with reading(engine) as connection:
            viewer = repository.viewer_by_id(connection, user_id)
        return Session(viewer, nonce) if viewer is not None and viewer.epoch == epoch else None

    def form_token(self, nonce: str) -> str:
        """The token that every form of a session carries, and that no other site's page can know."""
        return hmac.new(self.secret, f"form:{nonce}".encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, nonce: str, token: str | None) -> bool:
        """Whether the form came from our own page of this session."""
        return token is not None and hmac.compare_digest(self.form_token(nonce), token)

    def _sealer(self, purpose: str) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self.secret, salt=f"presage {purpose}", signer_kwargs={"digest_method": hashlib.sha256}
        )


def new_nonce() -> str:
    """128 random bits that tie a form to one browser."""
    return secrets.token_hex(16)


def new_token() -> str:
    """256 random bits for a machine; the store keeps only their hash."""
    return f"presage_{secrets.token_urlsafe(32)}"


def token_hash(token: str) -> str:
    """The hash under which the store knows a token."""
    return hashlib.sha256(token.encode()).hexdigest()
