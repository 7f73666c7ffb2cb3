package detect

import (
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
)

var (
	_ Coder  = (*vae.Pass)(nil)
	_ Runner = (*vae.Runner)(nil)
)

// Of is a trained model as a detector's Autoencoder.
func Of(m *vae.Model) Autoencoder { return model{m} }

type model struct{ *vae.Model }

// NewCoder implements Autoencoder.
func (m model) NewCoder(e *kernel.Engine, batch, samples int) Coder {
	return m.NewPass(e, batch, samples, nn.Inference)
}

// OfStudent is a trained student as a detector's Network.
func OfStudent(s *vae.Student) Network { return student{s} }

type student struct{ *vae.Student }

// NewRunner implements Network.
func (s student) NewRunner(e *kernel.Engine, batch int) Runner { return s.Student.NewRunner(e, batch) }
