"""Adapters of environments, and labels computed from their physics."""
