package launch

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limits bound what a plugin's process may take. The zero value bounds nothing.
type Limits struct {
	// MemoryMB is a limit, in MiB, of the memory that each process of the plugin may write to
	// (RLIMIT_DATA), of what each has resident, and of what they have together, where memory that several
	// share counts once. That is looked at ten times a second. A Go plugin is told by GOMEMLIMIT to
	// collect in time.
	MemoryMB int
	// OpenFiles is the limit of open files of each process (RLIMIT_NOFILE).
	OpenFiles int
	// NoNewPrivileges keeps the process and its children from gaining
	// privileges by executing a set-user-ID program, such as sudo.
	NoNewPrivileges bool
}

const (
	mib = 1 << 20
	// watchEvery is how often resident memory is looked at.
	watchEvery = 100 * time.Millisecond
)

// env is what a plugin is told of its limits, unless the user sets it.
func (l Limits) env() []string {
	if l.MemoryMB == 0 {
		return nil
	}
	return []string{"GOMEMLIMIT=" + strconv.Itoa(max(1, l.MemoryMB*3/4)) + "MiB"}
}

// watch kills the process when it, or what it has started with it, has more resident than it may.
func (r *osRunner) watch() {
	limit := int64(r.limits.MemoryMB) * mib
	for !r.dead(watchEvery) {
		if n, processes := used(r.proc, limit); n > limit {
			text := fmt.Sprintf("it used %d MiB, more than its memory limit of %d (classifier.memory_limit_mb), and was killed", n/mib, r.limits.MemoryMB)
			if processes > 1 {
				text = fmt.Sprintf("its %d processes used %d MiB, more than its memory limit of %d (classifier.memory_limit_mb), and were killed", processes, n/mib, r.limits.MemoryMB)
			}
			r.excess.Store(&text)
			r.proc.kill()
			return
		}
	}
}

// exceeded says which limit an error comes from, "" if it is none.
func (r *osRunner) exceeded(err error, lines []string) string {
	if p := r.excess.Load(); p != nil {
		return *p
	}
	text := strings.ToLower(err.Error() + "\n" + strings.Join(lines, "\n"))
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case r.limits.MemoryMB > 0 && says("out of memory", "cannot allocate memory", "memoryerror", "bad_alloc", "pthread_create failed"):
		return fmt.Sprintf("it reached its memory limit of %d MiB (classifier.memory_limit_mb)", r.limits.MemoryMB)
	case r.limits.OpenFiles > 0 && says("too many open files"):
		return fmt.Sprintf("it reached its limit of %d open files (classifier.open_files_limit)", r.limits.OpenFiles)
	}
	return ""
}
