"""Diagnostics of models: features, predictions and policies, with no reward or for people only."""
