"""What runs by the clock: the jobs, the loop that starts them, and the alerts they send."""
