"""Recipes as TOML files, one a run."""
