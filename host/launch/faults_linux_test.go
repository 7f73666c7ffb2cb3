package launch

import (
	"bytes"
	"fmt"
	"os"
)

// running reports whether a process exists and is no zombie that nobody reaps.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}
