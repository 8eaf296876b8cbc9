"""The first store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None

APPEND_ONLY = ("audit", "flag_events")


def upgrade() -> None:
    """Make the tables of users, flags and audit. Looks and decisions can be added to, and never changed."""
    _tables()
    for table in APPEND_ONLY:
        _refuse_changes(table)


def _refuse_changes(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_append_only()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _tables() -> None:
    op.create_table(
        "panels",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_panels_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_panels")),
        sa.UniqueConstraint("name", name=op.f("uq_panels_name")),
    )
    op.create_table(
        "policies",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=50), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_policies")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_policies_name")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("locked_until", sa.DateTime(), nullable=True),
        sa.Column("epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_users_name")),
        sa.CheckConstraint("role <> 'machine' OR password_hash IS NULL", name=op.f("ck_users_machine_has_no_password")),
        sa.CheckConstraint(
            "role IN ('care manager', 'programme lead', 'data scientist', 'machine')", name=op.f("ck_users_role")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(), server_default=sa.text("(CURRENT_TIMESTAMP)"), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("action", sa.String(length=50), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_audit_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_subject_id"), "audit", ["subject_id"], unique=False)
    op.create_index(op.f("ix_audit_user_id"), "audit", ["user_id"], unique=False)
    op.create_table(
        "persons",
        sa.Column("subject_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.String(length=50), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("panel_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["panel_id"], ["panels.id"], name=op.f("fk_persons_panel_id")),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_persons")),
        sa.UniqueConstraint("source", "source_id", name=op.f("uq_persons_source")),
    )
    op.create_index(op.f("ix_persons_panel_id"), "persons", ["panel_id"], unique=False)
    op.create_table(
        "runs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("policy_hash", sa.String(length=64), nullable=False),
        sa.Column("scores_digest", sa.String(length=64), nullable=False),
        sa.Column("as_of", sa.DateTime(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("scored", sa.Integer(), nullable=False),
        sa.Column("not_scored", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["policy_hash"], ["policies.hash"], name=op.f("fk_runs_policy_hash")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint("policy_hash", "scores_digest", name=op.f("uq_runs_policy_hash")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tokens_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_tokens_token_hash")),
    )
    op.create_index(op.f("ix_tokens_user_id"), "tokens", ["user_id"], unique=False)
    op.create_table(
        "user_panels",
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("panel_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["panel_id"], ["panels.id"], name=op.f("fk_user_panels_panel_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_user_panels_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "panel_id", name=op.f("pk_user_panels")),
    )
    op.create_table(
        "receipts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.DateTime(), nullable=False),
        sa.Column("study", sa.String(length=100), nullable=False),
        sa.Column("model", sa.String(length=20), nullable=False),
        sa.Column("model_reason", sa.Text(), nullable=False),
        sa.Column("model_version", sa.String(length=50), nullable=False),
        sa.Column("bundle_digest", sa.String(length=64), nullable=False),
        sa.Column("catalogue_hash", sa.String(length=64), nullable=False),
        sa.Column("feature_hash", sa.String(length=64), nullable=False),
        sa.Column("horizons_days", sa.JSON(), nullable=False),
        sa.Column("risks", sa.JSON(), nullable=False),
        sa.CheckConstraint("model IN ('clinical', 'combined')", name=op.f("ck_receipts_model")),
        sa.ForeignKeyConstraint(["subject_id"], ["persons.subject_id"], name=op.f("fk_receipts_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipts")),
        sa.UniqueConstraint(
            "subject_id", "as_of", "bundle_digest", "feature_hash", name=op.f("uq_receipts_subject_id")
        ),
    )
    op.create_table(
        "flags",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("policy_hash", sa.String(length=64), nullable=False),
        sa.Column("policy_name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("headline", sa.Text(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("action_source", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("receipt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("risk", sa.Float(), nullable=True),
        sa.Column("horizon_days", sa.Float(), nullable=True),
        sa.Column("report_id", sa.Text(), nullable=True),
        sa.Column("model", sa.String(length=20), nullable=True),
        sa.Column("not_scored", sa.Text(), nullable=True),
        sa.Column("genetic_status", sa.String(length=20), nullable=False),
        sa.Column("genetic_words", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("deferred_until", sa.Date(), nullable=True),
        sa.Column("raised_at", sa.DateTime(), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "(status = 'deferred') = (deferred_until IS NOT NULL)", name=op.f("ck_flags_deferred_until_a_day")
        ),
        sa.CheckConstraint("action <> '' AND action_source <> '' AND owner <> ''", name=op.f("ck_flags_has_an_action")),
        sa.CheckConstraint(
            "genetic_status IN ('finding', 'uncertain', 'negative', 'not tested')", name=op.f("ck_flags_genetic_status")
        ),
        sa.CheckConstraint(
            "kind = 'finding' OR (receipt_id IS NOT NULL AND risk IS NOT NULL)",
            name=op.f("ck_flags_risk_has_a_receipt"),
        ),
        sa.CheckConstraint("kind = 'risk' OR report_id IS NOT NULL", name=op.f("ck_flags_finding_has_a_report")),
        sa.CheckConstraint("kind IN ('risk', 'finding')", name=op.f("ck_flags_kind")),
        sa.CheckConstraint(
            "status IN ('open', 'accepted', 'deferred', 'dismissed', 'done', 'lapsed')", name=op.f("ck_flags_status")
        ),
        sa.CheckConstraint("(risk IS NULL) = (not_scored IS NOT NULL)", name=op.f("ck_flags_risk_or_the_reason")),
        sa.CheckConstraint("risk IS NULL OR (risk >= 0 AND risk <= 1)", name=op.f("ck_flags_risk_is_a_probability")),
        sa.ForeignKeyConstraint(["policy_hash"], ["policies.hash"], name=op.f("fk_flags_policy_hash")),
        sa.ForeignKeyConstraint(["receipt_id"], ["receipts.id"], name=op.f("fk_flags_receipt_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["persons.subject_id"], name=op.f("fk_flags_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flags")),
    )
    op.create_index(op.f("ix_flags_subject_id"), "flags", ["subject_id"], unique=False)
    op.create_index(
        "uq_flags_standing",
        "flags",
        ["subject_id", "policy_name", "kind", "cause"],
        unique=True,
        sqlite_where=sa.text("status IN ('open', 'accepted', 'deferred')"),
        postgresql_where=sa.text("status IN ('open', 'accepted', 'deferred')"),
    )
    op.create_table(
        "flag_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("flag_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("what", sa.String(length=10), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("until", sa.Date(), nullable=True),
        sa.CheckConstraint(
            "(what = 'deferred') = (until IS NOT NULL)", name=op.f("ck_flag_events_deferred_until_a_day")
        ),
        sa.CheckConstraint(
            "(what IN ('accepted', 'deferred', 'dismissed', 'done', 'reopened')) = (user_id IS NOT NULL)",
            name=op.f("ck_flag_events_people_decide"),
        ),
        sa.CheckConstraint("what <> 'dismissed' OR note <> ''", name=op.f("ck_flag_events_dismissed_with_a_reason")),
        sa.CheckConstraint(
            "what IN ('accepted', 'deferred', 'dismissed', 'done', 'reopened', 'raised', 'renewed', 'lapsed')",
            name=op.f("ck_flag_events_what"),
        ),
        sa.ForeignKeyConstraint(["flag_id"], ["flags.id"], name=op.f("fk_flag_events_flag_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_flag_events_run_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_flag_events_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flag_events")),
    )
    op.create_index(op.f("ix_flag_events_flag_id"), "flag_events", ["flag_id"], unique=False)
