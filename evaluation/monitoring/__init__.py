"""Watches what is live: data against its past, decisions as they fall, quality on audit labels.

`data` is the one door to Evidently. Decisions are read from files, never from `serving`.
"""
