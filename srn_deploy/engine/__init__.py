"""Graphs to TensorRT engines: what is asked for, where it is kept, and the build itself."""
