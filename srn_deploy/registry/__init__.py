"""Shipped and published models: what a name means, and where its files are."""
