//go:build !linux

package launch

import "os/exec"

// startChild starts cmd as a child of this process: only Linux knows subreapers.
func startChild(cmd *exec.Cmd, l Limits, b *box, exited <-chan struct{}) (child, error) {
	return startDirect(cmd, l, b, exited)
}

func superviseIfAsked() {}
