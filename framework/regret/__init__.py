"""What optimism loses over a pool of policies: the bound, the play, and the report of both."""
