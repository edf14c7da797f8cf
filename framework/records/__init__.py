"""Where inferred weights come from: kept beside them, recomputed, and told to people."""
