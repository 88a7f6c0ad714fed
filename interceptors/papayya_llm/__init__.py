"""Calls of model clients become calls of the item they are made for."""
