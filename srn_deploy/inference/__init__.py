"""Upscaling: one image, and many files."""
