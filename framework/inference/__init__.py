"""Online and offline task inference: posteriors, candidates, schedules and the loop."""
