//go:build !linux

package serve

// AsInit is for containers, which are Linux.
func AsInit() (code int, was bool) { return 0, false }
