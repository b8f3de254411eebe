"""The process of `taxiphone serve`, and the checks of `taxiphone doctor`."""
