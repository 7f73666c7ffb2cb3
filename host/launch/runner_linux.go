package launch

import (
	"os"
	"os/exec"
	"strconv"
)

// descriptorPath hands f to the child and is the path under which the child,
// between fork and exec, finds it: what was verified is what runs.
func descriptorPath(cmd *exec.Cmd, f *os.File) string {
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	return "/proc/self/fd/" + strconv.Itoa(2+len(cmd.ExtraFiles))
}
