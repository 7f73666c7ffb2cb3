//go:build !unix && !windows

package cli

import "os"

// terminalWidth is not known here.
func terminalWidth(*os.File) int { return defaultWidth }
