//go:build !unix

package launch

import "os"

// openFitted opens what a Fit has left.
func openFitted(root *os.Root, name string) (*os.File, error) { return root.Open(name) }
