"""INT8: an FP32 graph becomes one with explicit quantization, calibrated on images."""
