"""The command line: look at runs and items, act on them, operate what carries them."""
