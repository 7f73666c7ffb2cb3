package serve

// Supervise is for a test that is no first process.
func Supervise(args []string) int { return supervise(args) }
