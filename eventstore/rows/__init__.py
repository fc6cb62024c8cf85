"""Between events as Python values and the columns of a row."""
