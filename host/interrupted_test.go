package host_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/vaeguard/vaeguard/host"
)

// An interruption is told in a word, and what failed besides is not lost.
func TestInterruptedError(t *testing.T) {
	full := errors.New("checkpoint: no space left on device")
	for _, c := range []struct {
		name, command string
		err           error
		want          string
	}{
		{"alone", "", context.Canceled, "interrupted"},
		{"wrapped", "", fmt.Errorf("plugin mlp: predict: %w", context.Canceled), "interrupted"},
		{"twice", "", errors.Join(context.Canceled, fmt.Errorf("predict: %w", context.Canceled)), "interrupted"},
		{"nothing told", "", nil, "interrupted"},
		{"resumed", "vaeguard run x --resume", context.Canceled, "interrupted; what was done is saved. Resume with:\n  vaeguard run x --resume"},
		{"not saved", "vaeguard run x --resume", errors.Join(context.Canceled, full), "interrupted; checkpoint: no space left on device. Resume with:\n  vaeguard run x --resume"},
		{"inside", "", fmt.Errorf("train: %w", errors.Join(context.Canceled, full)), "interrupted; checkpoint: no space left on device"},
		{"something else", "", full, "interrupted; checkpoint: no space left on device"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (&host.InterruptedError{Command: c.command, Err: c.err}).Error(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
