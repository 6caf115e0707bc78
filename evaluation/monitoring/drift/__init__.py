"""Feature and embedding drift of the lake at scale: histograms that DuckDB and Spark count alike.

A day is counted once, in bins that the reference fixed; everything else reads those counts.
"""
