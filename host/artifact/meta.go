package artifact

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// FormatVersion is the version of the folder that this program writes. It reads
// version 1 too, whose detectors have no signature.
const (
	FormatVersion    = 2
	oldFormatVersion = 1
)

// Meta is meta.json.
type Meta struct {
	FormatVersion int               `json:"format_version"`
	Name          string            `json:"name"`   // of the spec
	Method        string            `json:"method"` // vae, ae, …
	Threshold     *Threshold        `json:"threshold"`
	Correction    *Correction       `json:"correction,omitempty"` // nil: each flagged row is corrected
	Seeds         map[string]uint64 `json:"seeds"`                // by purpose
	InputShape    tensor.Shape      `json:"input_shape"`          // of rows as the guard takes them
	// Signature says what a raw row is; nil in format version 1.
	Signature  *signature.Signature `json:"signature,omitempty"`
	LatentDim  int                  `json:"latent_dim,omitempty"`
	Samples    int                  `json:"samples,omitempty"`
	Classifier Classifier           `json:"classifier"`
	Gradient   *gradient.Report     `json:"gradient,omitempty"` // nil: the classifier's own
	// Health is what the guard did with clean rows when it was calibrated; nil, in JSON
	// null: there were none. Files of earlier versions lack the keys of what is null.
	Health *health.Report `json:"health"`
	// Hardened is what its hardened training measured; nil, in JSON null: nothing.
	Hardened *health.Hardened `json:"hardened"`
	// Training is how it was trained where the spec cannot say it, by components of the
	// program that made it; nil: the spec says it.
	Training *Training `json:"training,omitempty"`
	// Precision is what products were computed in; nil: float32 throughout.
	Precision *Precision        `json:"precision,omitempty"`
	Data      map[string]string `json:"data"`     // sha256 of what each role's rows were read from
	Versions  map[string]string `json:"versions"` // of vaeguard and Go
	// Base is the folder that relative paths of the spec start from, relative to
	// the detector's own and with slashes; "", and where it is gone: the
	// detector's own. Files of earlier versions have it absolute.
	Base  string            `json:"base,omitempty"`
	Files map[string]string `json:"files"` // sha256 of each file, lower-case hex
	Sizes map[string]int64  `json:"sizes"` // bytes of each file
	// SHA256 is that of this file with the field empty.
	SHA256 string `json:"sha256"`
}

// Classifier says which classifier the detector guards.
type Classifier struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Digest  string   `json:"digest"` // of its weights, as it declares; "" if it does not
	Output  string   `json:"output"` // logits or probabilities
	Classes int      `json:"classes"`
	Labels  []string `json:"labels,omitempty"` // the classes' names
	// Lent is what lent it, "Go" and a type: it was a model of the program that made
	// the detector, and no file has it. "": it is what the spec says.
	Lent string `json:"lent,omitempty"`
}

// Training is a training by components that no table names: Go types of the program
// that did it.
type Training struct {
	Loss      string `json:"loss"`
	Optimizer string `json:"optimizer"`
	Schedule  string `json:"learning_rate_schedule,omitempty"`
	Epochs    int    `json:"epochs"`
	BatchSize int    `json:"batch_size"`
}

// Precision is that of the network's products, float32 or bf16.
type Precision struct {
	Training string `json:"training,omitempty"` // "": it was not trained here
	Scoring  string `json:"scoring"`            // which the threshold is for
}

// ClassifierOf is the record of a classifier.
func ClassifierOf(info sdk.Info) Classifier {
	return Classifier{Name: info.Name, Version: info.Version, Digest: info.Digest, Output: info.Output.String(),
		Classes: info.NumClasses, Labels: info.Classes}
}

// Threshold is detect.Threshold in JSON: the value, one of the rules, and for
// the rules of ranks which of how many scores it is.
type Threshold struct {
	Value      float64  `json:"value"`
	FPR        *float64 `json:"fpr,omitempty"`
	Confidence *float64 `json:"confidence,omitempty"`
	Percentile *float64 `json:"percentile,omitempty"`
	Given      *float64 `json:"given,omitempty"`
	N          int      `json:"n"`
	Rank       int      `json:"rank,omitempty"`
	// By, ClassFPR and MinRows are the rule's; Classes are the thresholds of the classes,
	// in order. Absent: there is one threshold.
	By       string           `json:"by,omitempty"`
	ClassFPR *float64         `json:"class_fpr,omitempty"`
	MinRows  int              `json:"min_rows,omitempty"`
	Classes  []ClassThreshold `json:"classes,omitempty"`
}

// ClassThreshold is detect.ClassThreshold in JSON.
type ClassThreshold struct {
	Value float64 `json:"value"`
	N     int     `json:"n"`
	Rank  int     `json:"rank,omitempty"`
	// Pooled: the class has the threshold of all classes, for too few scores, also with
	// others, or, by ClassFPR, because it flags no more than that.
	Pooled bool `json:"pooled,omitempty"`
	// Shared: the class has too few scores, and the threshold of all such classes.
	Shared bool `json:"shared,omitempty"`
}

func thresholdMeta(t *detect.Threshold) *Threshold {
	if t == nil {
		return nil
	}
	out := &Threshold{Value: t.Value, FPR: t.Rule.FPR, Confidence: t.Rule.Confidence, Percentile: t.Rule.Percentile,
		Given: t.Rule.Value, N: t.N, Rank: t.Rank, By: t.Rule.By, ClassFPR: t.Rule.ClassFPR, MinRows: t.Rule.MinRows}
	for _, c := range t.ByClass {
		out.Classes = append(out.Classes, ClassThreshold{Value: c.Value, N: c.N, Rank: c.Rank, Pooled: !c.Own, Shared: c.Shared})
	}
	return out
}

func (t *Threshold) detect() *detect.Threshold {
	if t == nil {
		return nil
	}
	out := &detect.Threshold{Value: t.Value, N: t.N, Rank: t.Rank,
		Rule: detect.Rule{FPR: t.FPR, Confidence: t.Confidence, Percentile: t.Percentile, Value: t.Given, By: t.By, ClassFPR: t.ClassFPR, MinRows: t.MinRows}}
	for _, c := range t.Classes {
		out.ByClass = append(out.ByClass, detect.ClassThreshold{Value: c.Value, N: c.N, Rank: c.Rank, Own: !c.Pooled, Shared: c.Shared})
	}
	return out
}

// Correction is detect.Correction in JSON.
type Correction struct {
	Loss      float64 `json:"loss"`
	ClassLoss float64 `json:"class_loss"`
	N         int     `json:"n"`
	Labelled  bool    `json:"labelled"`
	// Margin is the least by predicted class, as log-odds; null: the class is always
	// corrected.
	Margin []*float64 `json:"margin"`
}

func correctionMeta(c *detect.Correction) *Correction {
	if c == nil {
		return nil
	}
	out := &Correction{Loss: c.Loss, ClassLoss: c.ClassLoss, N: c.N, Labelled: c.Labelled, Margin: make([]*float64, len(c.Least))}
	for i, v := range c.Least {
		if !math.IsInf(v, -1) {
			out.Margin[i] = &c.Least[i]
		}
	}
	return out
}

func (c *Correction) detect() *detect.Correction {
	if c == nil {
		return nil
	}
	out := &detect.Correction{Correct: detect.Correct{Loss: c.Loss, ClassLoss: c.ClassLoss}, N: c.N, Labelled: c.Labelled}
	for _, v := range c.Margin {
		if v == nil {
			out.Least = append(out.Least, math.Inf(-1))
		} else {
			out.Least = append(out.Least, *v)
		}
	}
	return out
}

// encode is the bytes of meta.json, its own digest filled in.
func (m Meta) encode() ([]byte, error) {
	m.SHA256 = ""
	blank, err := m.marshal()
	if err != nil {
		return nil, err
	}
	m.SHA256 = digest(blank)
	return m.marshal()
}

func (m Meta) marshal() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", MetaFile, err)
	}
	return append(b, '\n'), nil
}

// parseMeta checks version and digest before anything else is believed.
func parseMeta(b []byte) (Meta, error) {
	var version struct {
		FormatVersion *int `json:"format_version"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return Meta{}, fmt.Errorf("%s is truncated or not JSON: %w", MetaFile, err)
	}
	if version.FormatVersion == nil || *version.FormatVersion != FormatVersion && *version.FormatVersion != oldFormatVersion {
		got := "none"
		if version.FormatVersion != nil {
			got = fmt.Sprint(*version.FormatVersion)
		}
		return Meta{}, fmt.Errorf("%s has format version %s, this program reads %d", MetaFile, got, FormatVersion)
	}
	var m Meta
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("%s: %w", MetaFile, err)
	}
	if !ownDigest(b, m.SHA256) {
		return m, fmt.Errorf("%s was edited: it does not have its own digest", MetaFile)
	}
	return m, m.plain()
}

// ownDigest reports whether the bytes of a meta.json have the digest that they end
// with. The bytes count, not what this program would write: an earlier version wrote
// fewer keys.
func ownDigest(b []byte, sum string) bool {
	head, ok := bytes.CutSuffix(b, []byte(sum+"\"\n}\n"))
	return ok && len(sum) == 2*sha256.Size && bytes.HasSuffix(head, []byte(`"sha256": "`)) && digest(append(bytes.Clone(head), "\"\n}\n"...)) == sum
}

// plain refuses texts that order a terminal, or begin a line of their own, where they
// are printed. No classifier's are so: what a plugin says of itself is held to the same.
func (m Meta) plain() error {
	texts := append([]string{m.Classifier.Name, m.Classifier.Version, m.Classifier.Digest, m.Classifier.Output, m.Classifier.Lent}, m.Classifier.Labels...)
	if t := m.Training; t != nil {
		texts = append(texts, t.Loss, t.Optimizer, t.Schedule)
	}
	for _, about := range []map[string]string{m.Data, m.Versions} {
		for k, v := range about {
			texts = append(texts, k, v)
		}
	}
	for _, s := range texts {
		if len(s) > wire.MaxText || !wire.Plain(s) {
			return fmt.Errorf("%s: %q is no name: want at most %d bytes of printed text", MetaFile, wire.Text(s, 200), wire.MaxText)
		}
	}
	return nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
