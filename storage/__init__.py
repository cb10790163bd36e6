"""Storage: a run's folder, snapshots and weights, pictures, output formats, exports."""
