"""From checked arguments to kernels, for the families whose public module has no room for it: one file a family."""
