package main

import (
	"encoding/json"
	"fmt"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Raw32 is a file format: a line of JSON with the shape, then float32s
// in little-endian order, such as {"raw32": [3, 64]}.
type Raw32 struct{}

var _ dataset.StreamFormat = Raw32{}

// Traits implements dataset.Format.
func (Raw32) Traits() dataset.Traits {
	return dataset.Traits{Extensions: []string{".raw32"}, Magic: []string{`{"raw32":`}}
}

// Open implements dataset.Format.
func (f Raw32) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	return dataset.OpenStreamed(f, path, o)
}

// Stream implements dataset.StreamFormat.
func (Raw32) Stream(c *dataset.Content, _ dataset.ReadOptions) (dataset.Reader, error) {
	line, err := c.ReadSlice('\n') // bounded by the buffer
	if err != nil {
		return nil, fmt.Errorf("%s: no line with the shape: %w", c.Name, err)
	}
	var header struct {
		Shape tensor.Shape `json:"raw32"`
	}
	if err := json.Unmarshal(line, &header); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	return dataset.NewNumbers(c, dataset.Dtype{Kind: 'f', Size: 4}, header.Shape)
}
