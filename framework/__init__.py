"""bfmkit: online task inference for behaviour foundation models."""
