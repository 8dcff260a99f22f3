"""NVIDIA's Triton Inference Server: a model repository for it, the model that it runs, and a client."""
