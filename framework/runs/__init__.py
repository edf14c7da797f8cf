"""Files that a run leaves behind: checkpoints, records, label logs, traces."""
