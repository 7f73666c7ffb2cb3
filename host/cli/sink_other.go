//go:build !unix

package cli

import "os"

// wasClosed reports whether f has no file behind it.
func wasClosed(f *os.File) bool {
	_, err := f.Stat()
	return err != nil
}
