package dataset

import (
	"io"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// labelled is a Reader of one number per row, with labels.
type labelled struct {
	labels []string
	next   int
}

func (*labelled) Example() tensor.Shape { return tensor.Shape{1} }
func (*labelled) Count() int            { return -1 }
func (*labelled) Parts() []Part         { return []Part{{"p", 1}} }
func (*labelled) Classes() []string     { return nil }
func (*labelled) Close() error          { return nil }
func (l *labelled) Label() string       { return l.labels[l.next-1] }
func (l *labelled) Next([]float32) error {
	if l.next == len(l.labels) {
		return io.EOF
	}
	l.next++
	return nil
}

// All rows have a label or none: labels of some would be taken for those of others.
func TestSomeLabels(t *testing.T) {
	for _, c := range []struct {
		labels []string
		want   int
		err    string
	}{
		{[]string{"a", "b", "a"}, 3, ""},
		{[]string{"", "", ""}, 0, ""},
		{[]string{"a", "", "b"}, 0, "row 1 has no label, and 2 of 3 rows have one"},
		{[]string{"", "a"}, 0, "row 0 has no label"},
	} {
		d, err := ReadAll(&labelled{labels: c.labels})
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v, want %s", c.labels, err, c.err)
			}
		case err != nil:
			t.Error(err)
		case len(d.Labels) != c.want:
			t.Errorf("%q: labels %v", c.labels, d.Labels)
		}
	}
}
