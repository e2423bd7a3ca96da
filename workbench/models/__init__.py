"""Networks, loaded, described and observed."""
