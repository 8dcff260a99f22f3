"""Benchmarks: contestants in turn, the paper's protocol and tables, steady state, the machine's own ceilings."""
