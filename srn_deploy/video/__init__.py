"""Videos: frames decoded, upscaled and encoded in segments that survive a kill, and joined with everything else."""
