"""Measurements behind the project's claims; README.md is rendered from their records."""
