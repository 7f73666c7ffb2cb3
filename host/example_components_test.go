package host_test

import (
	"fmt"
	"log"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/registry"
)

// Entropy is how undecided the classifier is about an input, in nats: a score of
// one's own.
type Entropy struct{}

// Score implements detect.Score.
func (Entropy) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		dst[i] = 0
		for _, logp := range e.LogP.Row(i) {
			dst[i] -= math.Exp(float64(logp)) * float64(logp)
		}
	}
}

// Needs implements detect.Requirer: nothing beside what the classifier says of x.
func (Entropy) Needs() detect.Needs { return detect.Needs{} }

// A program of one's own extends a copy of what ships; everything that reads
// or explains specs then knows the new name.
func ExampleComponents() {
	c := builtin.Components()
	c.Scores = c.Scores.With(registry.Entry[detect.Score]{Name: "entropy", Default: Entropy{}, Doc: "Entropy of the prediction, in nats."})
	text, err := host.Explain("entropy", c)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(text)
	fmt.Println("among those that ship:", slices.Contains(builtin.Components().Scores.Names(), "entropy"))
	// Output:
	// entropy (score)
	//
	// Entropy of the prediction, in nats.
	//
	// It has no options.
	//
	// Example:
	//
	//   entropy
	// among those that ship: false
}
