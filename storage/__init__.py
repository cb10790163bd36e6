"""Storage: whole-or-nothing files, a run's folder, pictures, output formats, exports."""
