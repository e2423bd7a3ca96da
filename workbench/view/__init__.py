"""Pure drawing, a result in, a figure out."""
