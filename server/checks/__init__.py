"""What `taxiphone doctor` looks at, one module per room."""
