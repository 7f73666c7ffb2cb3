// Command own-plugin is a classifier plugin as a third party writes it: a
// Gaussian kernel machine over class prototypes, with exact gradients. The
// struct is the whole plugin; the SDK does the rest.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func main() { sdk.Serve(&prototypes{}) }

// prototypes predicts logit c = −‖x − prototype c‖²/width.
type prototypes struct {
	width  float32
	rows   [][]float32 // one per class
	digest string
}

func (p *prototypes) Schema() []byte {
	return []byte(`{
	  "$schema": "http://json-schema.org/draft-07/schema#",
	  "type": "object",
	  "properties": {
	    "prototypes": {"type": "string", "format": "path", "description": "CSV, one row a class"},
	    "width": {"type": "number", "exclusiveMinimum": 0, "default": 0.5}
	  },
	  "required": ["prototypes"],
	  "additionalProperties": false
	}`)
}

func (p *prototypes) Configure(_ context.Context, c sdk.Config) error {
	options := struct {
		Prototypes string  `json:"prototypes"`
		Width      float32 `json:"width"`
	}{Width: 0.5}
	if err := json.Unmarshal(c.JSON, &options); err != nil {
		return err
	}
	file := options.Prototypes
	if !filepath.IsAbs(file) {
		file = filepath.Join(c.BaseDir, file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	rows, err := parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	p.width, p.rows = options.Width, rows
	sum := sha256.Sum256(fmt.Appendf(data, "width %g", p.width))
	p.digest = "sha256:" + hex.EncodeToString(sum[:])
	return nil
}

func (p *prototypes) Info(context.Context) (sdk.Info, error) {
	info := sdk.Info{
		Name: "prototypes", Version: "1.0.0",
		Output: sdk.Logits, Layout: sdk.Flat, Gradient: sdk.ExactGradient,
		BatchInvariant: true, NumClasses: len(p.rows), Ready: p.rows != nil, Digest: p.digest,
	}
	if p.rows != nil {
		info.InputShape = tensor.Shape{len(p.rows[0])}
		info.Lo, info.Hi = []float32{0}, []float32{1}
	}
	return info, nil
}

func (p *prototypes) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	y := tensor.New(x.N(), len(p.rows))
	for n := range x.N() {
		for c, proto := range p.rows {
			var sum float32
			for i, v := range x.Row(n) {
				d := v - proto[i]
				sum += float32(d * d)
			}
			y.Row(n)[c] = -sum / p.width
		}
	}
	return y, nil
}

// Gradient is dx = Σ_c dy_c · −2(x − prototype c)/width.
func (p *prototypes) Gradient(_ context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	dx := tensor.Batch(x.N(), x.Example())
	for n := range x.N() {
		row, in := dx.Row(n), x.Row(n)
		for c, proto := range p.rows {
			s := -2 * dy.Row(n)[c] / p.width
			for i := range row {
				row[i] += float32(s * (in[i] - proto[i]))
			}
		}
	}
	return dx, nil
}

func parse(data []byte) ([][]float32, error) {
	records, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(records) < 2 {
		return nil, fmt.Errorf("%d rows, want one for each of at least 2 classes", len(records))
	}
	rows := make([][]float32, len(records))
	for r, record := range records {
		rows[r] = make([]float32, len(record))
		for i, field := range record {
			v, err := strconv.ParseFloat(field, 32)
			if err != nil {
				return nil, fmt.Errorf("row %d, column %d: %q is not a number", r+1, i+1, field)
			}
			rows[r][i] = float32(v)
		}
	}
	return rows, nil
}
