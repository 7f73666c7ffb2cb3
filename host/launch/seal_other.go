//go:build !linux

package launch

// sealProgram copies the program into a private file.
func (v *verified) sealProgram() (string, error) { return v.copyProgram() }
