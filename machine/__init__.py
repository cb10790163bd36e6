"""What only computers care about; a reader who wants to understand the GAN can skip this folder.

Loading TensorFlow, finding the GPU, output streams, files that are written whole or not at all,
locks, signals, clusters, and the bug report.
"""
