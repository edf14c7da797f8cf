"""Live page: a person watches agents infer a task, and teaches them."""
