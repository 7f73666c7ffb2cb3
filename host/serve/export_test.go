package serve

// Higher is for tests of the order of versions.
func Higher(a, b string) int { return higher(a, b) }
