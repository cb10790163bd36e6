"""Files, devices and processes: nothing about the GAN, so a reader can skip this folder.

Loading TensorFlow, finding the GPU, output streams, files that are written whole or not at all,
locks, signals, clusters, and the bug report.
"""
