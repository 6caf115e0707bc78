"""What Weir reads out of a text: canonical form, lexical counts, hashed n-grams, embeddings.

Each extractor sees one text at a time, so a verdict cannot depend on its neighbours in a batch.
"""
