"""A database backend of Django's for tenants, as packages have: the search path is set when a cursor is made."""
