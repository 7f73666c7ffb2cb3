package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// slow is flat that takes its time, or fails in the middle of work: a verb that
// asks it is surely at work when a test looks.
type slow struct {
	flat
	Pause     int   `json:"pause_ms"`   // for each call
	FailAfter int64 `json:"fail_after"` // calls; 0: never; -1: at once
	calls     atomic.Int64
}

func (s *slow) Schema() []byte {
	return []byte(`{"type": "object", "additionalProperties": false, "properties": {"pause_ms": {"type": "integer"}, "fail_after": {"type": "integer"}}}`)
}

func (s *slow) Configure(_ context.Context, c sdk.Config) error { return json.Unmarshal(c.JSON, s) }

// errBroken is what slow fails with.
var errBroken = errors.New("the model broke on purpose")

func (s *slow) wait(ctx context.Context) error {
	if n := s.calls.Add(1); s.FailAfter != 0 && n > s.FailAfter {
		return errBroken
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(s.Pause) * time.Millisecond):
		return nil
	}
}

func (s *slow) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.flat.Predict(ctx, x)
}

func (s *slow) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.flat.Gradient(ctx, x, dy)
}
