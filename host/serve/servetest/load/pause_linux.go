package main

import (
	"syscall"
	"time"
)

// pause sleeps in the system, which is finer than the scheduler's sleep.
func pause(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil)
}
