"""Tests with the real spandrel: `make test-spandrel` runs them in an environment of its own."""
