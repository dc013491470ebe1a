"""What the service is about, in pure functions: arguments in, values out. No SQL, no HTTP, no clock."""
