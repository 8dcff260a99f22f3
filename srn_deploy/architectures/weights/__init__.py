"""The weights in a checkpoint file: read without executing anything, found whatever they lie in, and chosen."""
