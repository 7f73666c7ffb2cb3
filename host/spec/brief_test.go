package spec_test

import (
	"strings"
	"testing"

	shipped "github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/spec"
)

func TestBrief(t *testing.T) {
	wide := shipped.NewDense(1024)
	wide.Activation = nn.Activation{Name: "relu"}
	conv := shipped.NewConv2D(16, 4)
	conv.Strides, conv.Padding = nn.Pair{2, 1}, "same"
	dims := make([]int, 30)
	for i := range dims {
		dims[i] = 100 + i
	}
	for want, maker := range map[string]nn.Maker{
		"flatten":                                shipped.Flatten{},
		"dense: {units: 1024, activation: relu}": wide,
		"conv2d: {filters: 16, kernel_size: 4, strides: [2, 1], padding: same}": conv,
		"reshape: {target_shape: [7, 7, 32]}":                                   shipped.Reshape{TargetShape: []int{7, 7, 32}},
	} {
		got := strings.Trim(spec.Brief(maker, shipped.Table()), "{}")
		if got != strings.Trim(want, "{}") {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if long := spec.Brief[nn.Maker](shipped.Reshape{TargetShape: dims}, shipped.Table()); strings.Contains(long, "\n") {
		t.Errorf("more than one line: %q", long)
	}
}

func TestText(t *testing.T) {
	for s, want := range map[string]string{
		"plain": "plain", "two words": "two words", "1": `"1"`, "no": `"no"`, "": `""`, "a, b": `"a, b"`, "{x}": `"{x}"`,
		"${HOME}": "$${HOME}", "a: b": `"a: b"`, "# c": `"# c"`, "null": `"null"`, `say "x"`: `"say \"x\""`,
	} {
		if got := spec.Text(s); got != want && got != `"`+want+`"` {
			t.Errorf("%q is %s, want %s", s, got, want)
		}
	}
}
