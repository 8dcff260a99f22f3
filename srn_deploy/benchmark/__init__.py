"""Benchmarks: candidates timed in turn, steady state, the paper's protocol and tables, records and their comparison."""
