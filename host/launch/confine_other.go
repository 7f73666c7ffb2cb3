//go:build !linux

package launch

// confiners are what this system confines processes with: nothing.
func confiners() (landlock int, seccomp bool) { return 0, false }
