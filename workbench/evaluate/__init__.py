"""How good is an explanation or an interpretation."""
