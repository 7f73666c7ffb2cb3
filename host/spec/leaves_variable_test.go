package spec

import (
	"slices"
	"testing"
)

// A variable stays one, also where its braces would be YAML's: in a mapping on one
// line, as specs are written.
func TestLeavesOfVariables(t *testing.T) {
	got, err := Leaves([]byte("data:\n  train: {dataset: ${SET}, split: train}\nname: ${WHO:me}\n"))
	want := []Leaf{{"data.train.dataset", "${SET}"}, {"data.train.split", "train"}, {"name", "${WHO:me}"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}
