"""The Stasis application: one task for each call, over one websocket to Asterisk's ARI."""
