"""What the operating system provides: whole files, locks, cache folders, CPU threads, the GPU driver."""
