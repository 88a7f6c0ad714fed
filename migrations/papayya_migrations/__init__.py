"""The numbered SQL files of the contract, applied by `papayya migrate`."""
