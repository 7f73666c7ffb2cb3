package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// boundMemory bounds the address space to 6 GiB, of which Go's runtime reserves a part.
func boundMemory() {
	limit := syscall.Rlimit{Cur: 6 << 30, Max: 6 << 30}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		panic(err)
	}
}

// taken is the most memory that this process, or one that it has waited for, has had
// resident, and the time of processors of all of them.
func taken() (peak int64, busy time.Duration) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(rest, &peak); err != nil {
		panic(err)
	}
	for _, whose := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if err := syscall.Getrusage(whose, &r); err != nil {
			panic(err)
		}
		busy += time.Duration(r.Utime.Nano() + r.Stime.Nano())
		if whose == syscall.RUSAGE_CHILDREN {
			peak = max(peak, r.Maxrss)
		}
	}
	return peak << 10, busy
}
