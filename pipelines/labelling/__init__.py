"""What people should look at, and what they say: samplers, the label queue, collected labels.

May import `data_contracts` and the lake and state of `pipelines`.
"""
