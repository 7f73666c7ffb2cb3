//go:build !linux

package serve_test

// actInit is for containers, which are Linux.
func actInit() {}
