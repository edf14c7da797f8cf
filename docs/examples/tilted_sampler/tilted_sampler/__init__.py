"""Candidates as OpTI-BFM's released code draws them."""
