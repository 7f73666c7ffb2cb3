package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// CanariesFile holds rows with their known answers: absent in detectors of earlier
// versions, which read it as one more file to verify.
const CanariesFile = "canaries.json"

// maxCanaries bounds the rows of a CanariesFile.
const maxCanaries = 64

// Canaries are rows as the guard takes them, and what the detector and its
// classifier said of them when it was made, before any threshold: who opens it
// finds out whether all of it still computes the same. They are nobody's rows:
// each number was drawn from a column of the data by itself.
type Canaries struct {
	// Arithmetic is that of the numbers below. Another one has its own last bits.
	Arithmetic    string      `json:"arithmetic"`
	X             [][]float32 `json:"x"`             // [row][number]
	Probabilities [][]float32 `json:"probabilities"` // [row][class]
	Scores        [][]float64 `json:"scores"`        // [score][row], before any fusion
	Predicted     []int       `json:"predicted"`
	Reconstructed []int       `json:"reconstructed"`
}

// encode is the file's content.
func (c *Canaries) encode() ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", CanariesFile, err)
	}
	return append(b, '\n'), nil
}

// parseCanaries reads the file of a detector.
func parseCanaries(b []byte, m Meta) (*Canaries, error) {
	c := &Canaries{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, err
	}
	n := len(c.X)
	if n == 0 || n > maxCanaries || len(c.Probabilities) != n || len(c.Predicted) != n || len(c.Reconstructed) != n || len(c.Scores) == 0 {
		return nil, fmt.Errorf("want 1 to %d rows with an answer each", maxCanaries)
	}
	for i := range n {
		if len(c.X[i]) != m.InputShape.Size() || len(c.Probabilities[i]) != m.Classifier.Classes {
			return nil, fmt.Errorf("row %d has %d numbers and %d probabilities, want %d and %d", i, len(c.X[i]), len(c.Probabilities[i]), m.InputShape.Size(), m.Classifier.Classes)
		}
	}
	for _, s := range c.Scores {
		if len(s) != n {
			return nil, errors.New("want a score of each row")
		}
	}
	return c, nil
}

// Finite reports whether all answers are numbers that a file can hold.
func (c *Canaries) Finite() bool {
	for _, p := range c.Probabilities {
		for _, v := range p {
			if v-v != 0 {
				return false
			}
		}
	}
	for _, s := range c.Scores {
		for _, v := range s {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return false
			}
		}
	}
	return true
}
