"""The store's tables. Integrity stands here as constraints; times are UTC without a zone, on both databases."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

ROLES = ("care manager", "programme lead", "data scientist", "machine")
STATUSES = ("open", "accepted", "deferred", "dismissed", "done", "lapsed")
STANDING = ("open", "accepted", "deferred")
DECISIONS = ("accepted", "deferred", "dismissed", "done", "reopened")
MODELS = ("clinical", "combined")
GENETIC_STATUSES = ("finding", "uncertain", "negative", "not tested")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only for INTEGER primary keys.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


panels = Table(
    "panels",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),  # the care site's source id
    CheckConstraint("name <> ''", name="name"),
)

users = Table(
    "users",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("role", String(20), nullable=False),
    Column("password_hash", Text),  # null: signs in by token only
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("failures", Integer, nullable=False, server_default=text("0")),  # since the last good sign-in
    Column("locked_until", DateTime),
    Column("epoch", Integer, nullable=False, server_default=text("0")),  # a session of an older epoch is dead
    CheckConstraint(_one_of("role", ROLES), name="role"),
    CheckConstraint("name <> ''", name="name"),
    CheckConstraint("role <> 'machine' OR password_hash IS NULL", name="machine_has_no_password"),
)

user_panels = Table(
    "user_panels",
    metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("panel_id", ForeignKey("panels.id"), primary_key=True),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("token_hash", String(64), nullable=False, unique=True),  # SHA-256 of 256 random bits
    Column("label", String(200), nullable=False),
    Column("made_at", DateTime, nullable=False),
    Column("expires_at", DateTime, nullable=False),
)

persons = Table(
    "persons",
    metadata,
    Column("subject_id", BigInteger, primary_key=True, autoincrement=False),
    Column("source", String(50), nullable=False),
    Column("source_id", Text, nullable=False),
    Column("panel_id", ForeignKey("panels.id"), nullable=False, index=True),
    UniqueConstraint("source", "source_id"),
)

policies = Table(
    "policies",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("version", String(50), nullable=False),
    Column("title", Text, nullable=False),
    Column("document", JSON, nullable=False),
    UniqueConstraint("name", "version"),  # a version says one thing for ever
)

runs = Table(
    "runs",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("policy_hash", ForeignKey("policies.hash"), nullable=False),
    Column("scores_digest", String(64), nullable=False),
    Column("as_of", DateTime, nullable=False),
    Column("made_at", DateTime, nullable=False),
    Column("scored", Integer, nullable=False),
    Column("not_scored", Integer, nullable=False),
    UniqueConstraint("policy_hash", "scores_digest"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("subject_id", ForeignKey("persons.subject_id"), nullable=False),
    Column("as_of", DateTime, nullable=False),
    Column("study", String(100), nullable=False),
    Column("model", String(20), nullable=False),
    Column("model_reason", Text, nullable=False),
    Column("model_version", String(50), nullable=False),
    Column("bundle_digest", String(64), nullable=False),
    Column("catalogue_hash", String(64), nullable=False),
    Column("feature_hash", String(64), nullable=False),
    Column("horizons_days", JSON, nullable=False),
    Column("risks", JSON, nullable=False),
    UniqueConstraint("subject_id", "as_of", "bundle_digest", "feature_hash"),
    CheckConstraint(_one_of("model", MODELS), name="model"),
)

flags = Table(
    "flags",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("subject_id", ForeignKey("persons.subject_id"), nullable=False, index=True),
    Column("policy_hash", ForeignKey("policies.hash"), nullable=False),
    Column("policy_name", String(100), nullable=False),
    Column("kind", String(10), nullable=False),  # risk: competes for capacity; finding: does not
    Column("cause", Text, nullable=False),  # what one flag per person is unique by: the study, or the gene and variant
    Column("headline", Text, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("action", Text, nullable=False),
    Column("action_source", Text, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("due_on", Date, nullable=False),
    Column("receipt_id", ForeignKey("receipts.id")),
    Column("risk", Float),  # probability by horizon_days; null for a finding without a score
    Column("horizon_days", Float),  # null: the outcome is binary
    Column("report_id", Text),  # the laboratory report a finding's flag rests on
    Column("model", String(20)),
    Column("not_scored", Text),  # why a finding's flag has no risk
    Column("genetic_status", String(20), nullable=False),
    Column("genetic_words", Text, nullable=False),
    Column("status", String(10), nullable=False),
    Column("deferred_until", Date),
    Column("raised_at", DateTime, nullable=False),
    Column("changed_at", DateTime, nullable=False),
    CheckConstraint("kind IN ('risk', 'finding')", name="kind"),
    CheckConstraint(_one_of("status", STATUSES), name="status"),
    CheckConstraint(_one_of("genetic_status", GENETIC_STATUSES), name="genetic_status"),
    CheckConstraint("action <> '' AND action_source <> '' AND owner <> ''", name="has_an_action"),
    CheckConstraint("kind = 'finding' OR (receipt_id IS NOT NULL AND risk IS NOT NULL)", name="risk_has_a_receipt"),
    CheckConstraint("kind = 'risk' OR report_id IS NOT NULL", name="finding_has_a_report"),
    CheckConstraint("(status = 'deferred') = (deferred_until IS NOT NULL)", name="deferred_until_a_day"),
    CheckConstraint("risk IS NULL OR (risk >= 0 AND risk <= 1)", name="risk_is_a_probability"),
    CheckConstraint("(risk IS NULL) = (not_scored IS NOT NULL)", name="risk_or_the_reason"),
)

# One standing flag for one cause, whoever flags and however often.
Index(
    "uq_flags_standing",
    flags.c.subject_id,
    flags.c.policy_name,
    flags.c.kind,
    flags.c.cause,
    unique=True,
    sqlite_where=flags.c.status.in_(STANDING),
    postgresql_where=flags.c.status.in_(STANDING),
)

flag_events = Table(
    "flag_events",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("flag_id", ForeignKey("flags.id"), nullable=False, index=True),
    Column("at", DateTime, nullable=False),
    Column("what", String(10), nullable=False),
    Column("user_id", ForeignKey("users.id")),
    Column("run_id", ForeignKey("runs.id")),
    Column("note", Text, nullable=False, server_default=""),
    Column("until", Date),
    CheckConstraint(_one_of("what", (*DECISIONS, "raised", "renewed", "lapsed")), name="what"),
    CheckConstraint(f"({_one_of('what', DECISIONS)}) = (user_id IS NOT NULL)", name="people_decide"),
    CheckConstraint("(what = 'deferred') = (until IS NOT NULL)", name="deferred_until_a_day"),
    CheckConstraint("what <> 'dismissed' OR note <> ''", name="dismissed_with_a_reason"),
)

# Who looked at whom, when and why. Triggers of the first migration refuse to change or delete a row.
audit = Table(
    "audit",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("at", DateTime, nullable=False, server_default=func.now()),
    Column("user_id", ForeignKey("users.id"), nullable=False, index=True),
    Column("action", String(50), nullable=False),
    Column("subject_id", BigInteger, index=True),  # null: nobody in the record (aggregate, or events that were sent)
    Column("detail", Text, nullable=False, server_default=""),
)
