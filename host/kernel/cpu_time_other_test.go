//go:build !linux

package kernel

import "time"

// cpuTime is the processor time of this process so far: not known here.
func cpuTime() time.Duration { return 0 }
