"""Tables of other programs, from which events are imported: their maps, how they are read and compared."""
