"""How far an artefact is from its FP32 reference, and whether that is close enough."""
