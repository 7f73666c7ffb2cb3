package launch

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// killStrays kills what plugins with their sockets in a folder have left running:
// programs in sessions of their own, which no process group holds. They are known by
// the environment that they were given; one that was started without it stays.
func killStrays(sockets string) {
	mark := append([]byte{0}, socketDirEnv+"="+sockets+"/"...) // each process has a folder of its own in it
	found, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return
	}
	for _, name := range found {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(name) // of this user's processes alone
		if err != nil || !bytes.Contains(append([]byte{0}, env...), mark) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		// The number may have become another process's in between.
		if env, err = os.ReadFile(name); err == nil && bytes.Contains(append([]byte{0}, env...), mark) {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		_ = unix.Close(fd)
	}
}
