//go:build !linux

package main

import "time"

func boundMemory() {}

func taken() (peak int64, busy time.Duration) { return 0, 0 }
