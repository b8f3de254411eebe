"""The checks of `taxiphone doctor`, one module per area."""
