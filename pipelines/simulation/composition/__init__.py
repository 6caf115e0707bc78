"""Composed traffic: multi-modal events out of the real single-modality sets, ham and attacks.

`compose(sources, plan, rng)` gives a `Composition`. Attacks look benign in each single modality,
and ham carries each of their weak signals, so that only the combination tells them apart; the
recipes stand in `recipes`, ordinary life in `ordinary`. It is a simulation: who posts what is
made up, texts, pictures and profiles are real where the data are there.
"""
