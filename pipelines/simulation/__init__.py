"""Traffic to work on: replayed catalogue sets, a synthetic generator, and a load generator.

Nothing here is used by training or serving; truth is written apart and only the demo oracle
reads it.
"""
