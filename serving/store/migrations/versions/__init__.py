"""One module per step of the store's schema."""
