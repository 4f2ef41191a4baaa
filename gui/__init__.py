"""The window. Shows and asks; the work is done in lvd_live, which knows no Qt."""
