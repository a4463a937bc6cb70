"""The fast engine: the reference engine, with workers brought up to date on demand."""
