"""Kernels for the CPU, compiled by Numba on first use; importing a module of this folder imports Numba."""
