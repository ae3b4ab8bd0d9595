"""The CPU: one file a family, over the kernels."""
