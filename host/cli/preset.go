package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/host"
)

// price is what the training of a preset would cost.
type price struct {
	Preset string        `json:"preset"`
	Time   time.Duration `json:"time_ns"`
	Chosen bool          `json:"chosen"`
}

// prices are those of all presets for a spec that has one, with the classifier's gradients
// where what one takes is known, not 0; nil if it has none, or settles all that a preset
// could.
func (a *app) prices(e *host.Experiment, file string, set []string, gradient time.Duration) ([]price, error) {
	if e.Spec.Expanded == "" {
		return nil, nil
	}
	var out []price
	for _, name := range a.c.Presets.Names() {
		other, err := host.Load(file, append(append([]string{}, set...), "preset="+name), a.c, a.options())
		if err != nil {
			return nil, err
		}
		layers, err := other.Describe()
		if err != nil {
			return nil, err
		}
		t := other.Estimate(layers)
		whole := t.Time
		if more := asking(t, gradient); more >= time.Second {
			whole = (whole + more).Round(time.Second)
		}
		out = append(out, price{name, whole, name == e.Spec.Expanded})
	}
	return out, nil
}

// priceLine is the prices in a line.
func priceLine(list []price) string {
	parts := make([]string, len(list))
	for i, p := range list {
		parts[i] = fmt.Sprintf("%s %s", p.Time, p.Preset)
		if p.Chosen {
			parts[i] += " (chosen)"
		}
	}
	return "training by preset: about " + strings.Join(parts, ", ")
}
