"""Parse, call, print, exit code; nothing else."""
