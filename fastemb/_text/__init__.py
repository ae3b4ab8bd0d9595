"""Reading vocabulary files, and the binding of the C core."""
