"""Transitions: collection, storage, conversion and sampling."""
