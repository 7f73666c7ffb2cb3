package main

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"sync"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// blind is flat without gradients: it answers the probabilities of steps of
// its scores, as a forest does. It counts the rows that it is asked for.
type blind struct {
	of    flat
	Fault string `json:"fault"` // chaos: each row's class is a hash of its bits
	Count string `json:"count"` // a file that keeps the number of rows; "": none

	mu   sync.Mutex
	rows int
}

func (b *blind) Schema() []byte {
	return []byte(`{"type": "object", "additionalProperties": false, "properties": {
		"fault": {"enum": ["", "chaos"]}, "count": {"type": "string", "format": "path"}}}`)
}

func (b *blind) Configure(_ context.Context, c sdk.Config) error {
	if err := json.Unmarshal(c.JSON, b); err != nil {
		return err
	}
	b.Count = c.Path(b.Count)
	return nil
}

func (b *blind) Info(ctx context.Context) (sdk.Info, error) {
	i, err := b.of.Info(ctx)
	i.Name, i.Digest, i.Output, i.Gradient = "blind", "blind", sdk.Probabilities, sdk.NoGradient
	return i, err
}

func (b *blind) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	y, err := b.of.Predict(ctx, x)
	if err != nil {
		return nil, err
	}
	for n := range x.N() {
		row, sum := y.Row(n), 0.0
		if b.Fault == "chaos" {
			h := uint32(2166136261)
			for _, v := range x.Row(n) {
				h = (h ^ math.Float32bits(v)) * 16777619
			}
			clear(row)
			row[h>>16%10] = 20
		}
		for _, v := range row {
			sum += math.Exp(math.Round(4*float64(v)) / 4)
		}
		for i, v := range row {
			row[i] = float32(math.Exp(math.Round(4*float64(v))/4) / sum)
		}
	}
	if b.Count == "" {
		return y, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows += x.N()
	return y, os.WriteFile(b.Count, []byte(strconv.Itoa(b.rows)), 0o644)
}
