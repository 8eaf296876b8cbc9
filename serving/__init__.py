"""Scoring -> policy -> flags and audit, and the people's side of it: command line, score API, worklist.

The room's promise: a score is a recomputable receipt or a reason for not scoring, every flag names an action,
and nobody looks at a person without a role, a panel and an audit row.
"""
