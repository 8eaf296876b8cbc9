"""Cohort -> split -> fit -> evaluate -> bundle -> registry; and the simulated health system with known truth.

The room's promise: whatever is learned from data is learned inside the training folds, every person is on one
side of every split, and every number carries its interval. Imports `features`, never `serving`.
"""
