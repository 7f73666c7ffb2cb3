package host

import (
	"errors"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// auto is the section that vae: auto stands for, for prepared rows of a shape.
func (s *Spec) auto(d *spec.Document, in tensor.Shape, c Components) (*vae.Section, error) {
	if c.AutoEncoder == nil {
		return nil, errors.New("auto: this program has no rule for it; write latent_dim, encoder and decoder")
	}
	coded, ok := s.Detector.Chosen().(detect.Coded)
	if !ok {
		return s.VAE, nil
	}
	return s.VAE.With(c.AutoEncoder(in, coded.Coding(), s.intensities(d, c))), nil
}

// intensities reports whether prepared rows are images whose numbers are from 0 to
// 1, as far as headers and the first rows of a file tell it: what black and white
// become at the door.
func (s *Spec) intensities(d *spec.Document, c Components) bool {
	role := s.Data.Describing()
	if role == "" {
		return false
	}
	src := *s.Data.Of(role)
	door, h, err := s.door(d, src, c)
	if err != nil || len(door.Out()) != 3 || door.Learns() {
		return false
	}
	white := door.White
	if white == 0 {
		white = s.white(d, src, c)
	}
	if white == 0 {
		return false
	}
	x := tensor.Batch(2, h.Example)
	for i := range x.Row(1) {
		x.Row(1)[i] = float32(white)
	}
	x, err = door.Prepare(x)
	if err != nil {
		return false
	}
	for i, v := range x.Data {
		if want := float32(i / x.Example().Size()); v < want-1e-4 || v > want+1e-4 {
			return false
		}
	}
	return true
}

// Intensities is a named set that says of its images that their numbers are from 0
// to 1.
type Intensities interface{ Intensities() bool }

// white is the value of full intensity of images whose header does not tell it, by a
// word of their named set or by the first rows of their file; 0: it is not known.
func (s *Spec) white(d *spec.Document, src dataset.Source, c Components) float64 {
	if src.Dataset != "" {
		set, err := c.Datasets.Lookup(src.Dataset)
		if i, ok := set.(Intensities); err == nil && ok && i.Intensities() {
			return 1
		}
		return 0
	}
	if src.File == "" {
		return 0
	}
	path := d.Abs(src.File)
	if src.X != "" {
		path += ":" + src.X
	}
	rows, err := dataset.OpenStream(path, c.Formats, dataset.StreamOptions{Batch: 1})
	if err != nil {
		return 0
	}
	defer func() { _ = rows.Close() }() // only read from
	const looked = 64
	row := make([]float32, rows.Example().Size())
	least, most, whole := float32(0), float32(0), true
	for range looked {
		if err := rows.ReadRow(row); err != nil {
			break
		}
		for _, v := range row {
			least, most = min(least, v), max(most, v)
			whole = whole && v == float32(math.Trunc(float64(v)))
		}
	}
	switch {
	case least < 0:
		return 0
	case most > 0 && most <= 1:
		return 1
	case most > 1 && most <= 255 && whole:
		return 255
	}
	return 0
}
