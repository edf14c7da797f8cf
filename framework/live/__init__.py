"""A page on which a person watches agents infer a task, and teaches them."""
