"""Recipes as TOML files, one for each run."""
