"""Weir's tests. A real package, because small-text installs one of the same name."""
