package launch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// scattered is what actScatter leaves running below itself, as the shell is told it. $0
// is the mark.
const scattered = `
setsid sleep 1000$0 &                                      # out of the process group
env -i setsid sleep 1000$0 &                               # and of the environment
env -i setsid sh -c 'env -i setsid sleep 1000$0 & exit' $0 # its parent is gone: forked twice
setsid sh -c 'trap "" TERM HUP INT; sleep 1000$0' $0 &     # deaf to what is asked kindly
`

// hops is a script that is another process at each look.
const hops = `#!/bin/sh
exec </dev/null >/dev/null 2>&1
sh "$0" &
`

// actScatter is a plugin without any SDK, which watches nothing and leaves processes
// in sessions of their own, with and without its environment, with and without a parent.
func actScatter() {
	mark := os.Getenv("SCATTER")
	shell := exec.Command("sh", "-c", scattered, mark)
	if err := shell.Run(); err != nil {
		panic(err)
	}
	script := filepath.Join(os.TempDir(), "hop"+mark)
	if err := os.WriteFile(script, []byte(hops), 0o700); err != nil {
		panic(err)
	}
	hop := exec.Command("env", "-i", "PATH="+os.Getenv("PATH"), "setsid", script)
	if err := hop.Start(); err != nil {
		panic(err)
	}
	time.Sleep(time.Hour)
}

// actScatterHost starts it, says so and waits to be killed. Without a hook it is a plain
// child that watches nothing.
func actScatterHost() {
	c := act("scatter", "SCATTER="+os.Getenv("SCATTER"), "TMPDIR="+os.TempDir())
	if os.Getenv("HOOK") == "none" {
		linked.Store(nil)
		c = act("deaf")
	}
	v, err := c.verify(context.Background(), "")
	if err != nil {
		panic(err)
	}
	r, err := newRunner(v, append(c.Env, "PATH="+os.Getenv("PATH")))
	if err != nil {
		panic(err)
	}
	if err := r.Start(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println(r.proc.pid())
	time.Sleep(time.Hour)
}
