"""Deribit: JSON-RPC over WebSocket and HTTP, inverse and linear futures, options. One module per idea, the same
names as in the other venues' packages."""
