"""Models for one kind of content each; the meta-learner weighs them."""
