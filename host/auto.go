package host

import (
	"errors"

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
// 1, as far as that can be told without reading rows: what black and white become
// at the door.
func (s *Spec) intensities(d *spec.Document, c Components) bool {
	role := s.Data.Describing()
	if role == "" {
		return false
	}
	door, h, err := s.door(d, *s.Data.Of(role), c)
	if err != nil || door.White == 0 || len(door.Out()) != 3 || door.Learns() {
		return false
	}
	x := tensor.Batch(2, h.Example)
	for i := range x.Row(1) {
		x.Row(1)[i] = float32(door.White)
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
