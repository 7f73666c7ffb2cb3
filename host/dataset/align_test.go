package dataset

import (
	"slices"
	"strings"
	"testing"
)

func TestUseClasses(t *testing.T) {
	train := &Data{Labels: []int{0, 1, 2}, Classes: []string{"ant", "bee", "cat"}, Index: []int{0, 1, 2}}
	test := &Data{Labels: []int{1, 0}, Classes: []string{"bee", "cat"}, Index: []int{0, 1}}
	if err := test.UseClasses(train.Classes); err != nil || !slices.Equal(test.Labels, []int{2, 1}) || len(test.Classes) != 3 {
		t.Errorf("%v: labels %v of %v, want [2 1] of the three", err, test.Labels, test.Classes)
	}
	if err := train.UseClasses([]string{"ant", "bee"}); err == nil || !strings.Contains(err.Error(), `row 2: class "cat"`) {
		t.Errorf("an unknown class: %v", err)
	}
}

// Each row is counted in the part that holds it, empty parts aside.
func TestSharedParts(t *testing.T) {
	a := &Data{Index: []int{0, 2, 4}, Parts: []Part{{"p", 2}, {"empty", 0}, {"q", 3}}}
	for _, c := range []struct {
		source string
		index  int
		want   int
	}{{"p", 0, 1}, {"p", 1, 0}, {"q", 0, 1}, {"q", 2, 1}, {"empty", 0, 0}} {
		if got := Shared(a, &Data{Source: c.source, Index: []int{c.index}}); got != c.want {
			t.Errorf("row %d of %s: %d shared, want %d", c.index, c.source, got, c.want)
		}
	}
}

// Rows made by hand have no Index: a fault names the row all the same.
func TestUseClassesByHand(t *testing.T) {
	d := &Data{Labels: []int{0, 1}, Classes: []string{"ant", "cat"}}
	if err := d.UseClasses([]string{"ant"}); err == nil || !strings.Contains(err.Error(), `row 1: class "cat"`) {
		t.Errorf("%v", err)
	}
}
