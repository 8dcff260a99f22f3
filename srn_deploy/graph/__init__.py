"""ONNX graphs: export, the stamped spec, and the FP16 copy."""
