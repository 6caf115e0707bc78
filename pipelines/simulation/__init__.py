"""Traffic to work on: replayed catalogue sets, composed multi-modal events, generators, load.

Nothing here is used by serving, and by training only where a benchmark asks for composed rows;
truth is written apart and only the demo oracle reads it.
"""
