"""Plain Python: decorate a function as an agent and run it over items."""
