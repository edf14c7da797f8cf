"""The public Meta Motivo format: how its networks are laid out, and what its folders hold."""
