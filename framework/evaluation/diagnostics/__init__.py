"""Whether a model is learning: measures that need no reward, or look at rewards only to be read by people."""
