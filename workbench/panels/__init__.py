"""Widgets around view."""
