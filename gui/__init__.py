"""The window. It only shows and asks; the engine (`lvd_live`) knows nothing of it."""
