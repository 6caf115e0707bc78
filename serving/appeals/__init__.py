"""Who was acted on asks for a person: the API, and what follows from a decision.

It may import everything below `serving`; what an appeal is says `pipelines.labelling.appeals`.
"""
