package oip

import (
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// port is an input or output in the metadata of a model.
type port struct {
	Name     string           `json:"name"`
	Datatype tensors.Datatype `json:"datatype"`
	Shape    []int64          `json:"shape"` // −1: any
}

// metadata is what is told of a model.
type metadata struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions"`
	Platform string   `json:"platform"`
	Inputs   []port   `json:"inputs"`
	Outputs  []port   `json:"outputs"`
}

// server is what is told of the server.
type server struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

func (s *service) server() server {
	out := server{serverName, s.Version, []string{"binary_tensor_data", "parameters"}}
	if s.Admin {
		out.Extensions = append(out.Extensions, "model_repository")
	}
	return out
}

func (s *service) metadata(name, version string) (metadata, error) {
	m, done, err := s.models.Lease(name, version)
	if err != nil {
		return metadata{}, err
	}
	defer done()
	d := m.Detector()
	out := metadata{Name: m.Name(), Versions: []string{}, Platform: serverName, Inputs: inputsOf(d)}
	for _, v := range s.list() {
		if v.Name == m.Name() && v.Ready {
			out.Versions = append(out.Versions, v.Version)
		}
	}
	for _, o := range outputsOf(d) {
		p := port{o.name, o.datatype, []int64{-1}}
		if o.row != nil {
			p.Shape = append(p.Shape, dims(o.row(d))...)
		}
		out.Outputs = append(out.Outputs, p)
	}
	return out, nil
}

// inputsOf are the inputs that a request must have: a table's columns, or x.
func inputsOf(d *host.Detector) []port {
	s := d.Signature()
	if s.Named() {
		var out []port
		for _, f := range s.Features {
			p := port{f.Name, tensors.FP64, []int64{-1, 1}}
			switch f.Kind {
			case dataset.KindInteger:
				p.Datatype = tensors.Int64
			case dataset.KindCategory:
				p.Datatype = tensors.Bytes
			}
			out = append(out, p)
		}
		return out
	}
	p := port{inputRows, tensors.FP32, []int64{-1}}
	shape := s.Shape
	if len(shape) == 0 {
		shape = d.InputShape()
	}
	for _, n := range shape {
		p.Shape = append(p.Shape, open(n))
	}
	return []port{p}
}

// open is a dimension of a raw row as the protocol has it.
func open(n int) int64 {
	if n == 0 {
		return -1
	}
	return int64(n)
}
