"""The jobs that run at fixed times, the loop that starts them, and the alerts that they send."""
