"""How good is it: measures that take arrays and functions, and know no chapter."""
