"""From graphs to TensorRT engines: build options, the store of engines, the build, and loading a built engine."""
