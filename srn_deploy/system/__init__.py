"""Files, locks, folders, threads and the GPU driver: what the operating system provides."""
