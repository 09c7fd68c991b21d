"""The commands that a person types: `main` declares them, `run` carries out a run, `status` and `doctor` look."""
