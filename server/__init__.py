"""The process: what `taxiphone serve` brings up and takes down, `init` writes and `doctor` looks at."""
