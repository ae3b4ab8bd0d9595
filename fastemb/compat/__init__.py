"""Drop-ins: the names and answers of other libraries over this one, a module a library."""
