"""The gradients of eager calls and of calls inside of transforms: a file a family, two Functions an operation."""
