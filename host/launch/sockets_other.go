//go:build !unix

package launch

import "os"

// tryLock leaves the decision to the system, which does not remove a file that
// a living process has open.
func tryLock(*os.File) bool { return true }

// isPrivate trusts the system's per-user temporary folder.
func isPrivate(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// ownAlone trusts the user's profile.
func ownAlone(string) bool { return true }
