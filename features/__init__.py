"""Sources -> record -> index and catalogue -> feature frame.

The room's promise: a feature uses only what was available strictly before the as-of time, and the same
expressions build the training matrix, the monthly batch and one person at the bedside. This room knows
nothing of outcomes and imports neither `training` nor `serving`.
"""
