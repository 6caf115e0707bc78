"""One page for whoever is on call: what is live, is it healthy, what changed, what needs them.

It reads and never writes. Deciding (`health`, `needs`) is apart from reading (`state_facts`,
`file_facts`, `neighbours`) and from showing (`page`). It may import everything below `serving`.
"""
