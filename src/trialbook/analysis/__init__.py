"""Records into tables and series for people: typed results, no drawing."""
