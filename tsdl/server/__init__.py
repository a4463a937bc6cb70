"""Answers for editors: what is wrong, what a name is, what may stand here. Speaks LSP."""
