package dataset

import (
	"slices"
	"strings"
	"testing"
)

func TestClassesOf(t *testing.T) {
	for _, c := range []struct {
		name, texts string
		labels      []int
		classes     string
	}{
		{"class indices", "0 2 1 1", []int{0, 2, 1, 1}, "0 1 2"},
		{"from 1", "1 3 2", []int{0, 2, 1}, "1 2 3"},
		{"gaps", "5 0 2 5", []int{2, 0, 1, 2}, "0 2 5"},
		{"by number, not by digit", "10 9 -1", []int{2, 1, 0}, "-1 9 10"},
		{"as floats write them", "1.0 0 1 0.0", []int{1, 0, 1, 0}, "0 1"},
		{"words", "spam ham ham", []int{1, 0, 0}, "ham spam"},
		{"words and numbers", "7 x 10", []int{1, 2, 0}, "10 7 x"},
		{"words that read as numbers", "inf nan 0x1", []int{1, 2, 0}, "0x1 inf nan"},
		{"one class", "4 4", []int{0, 0}, "4"},
	} {
		labels, classes, err := classesOf("y", strings.Fields(c.texts))
		if err != nil || !slices.Equal(labels, c.labels) || strings.Join(classes, " ") != c.classes {
			t.Errorf("%s: %v of %q, %v; want %v of %q", c.name, labels, classes, err, c.labels, c.classes)
		}
	}
	if _, _, err := classesOf("y", []string{"1", "0.5"}); err == nil || !strings.Contains(err.Error(), `y: row 1: label "0.5", want whole numbers or names`) {
		t.Errorf("a fraction: %v", err)
	}
}

func TestArrayLabels(t *testing.T) {
	for _, c := range []struct {
		data    any
		labels  []int
		classes string
	}{
		{[]int64{1, 2, 3}, []int{0, 1, 2}, "1 2 3"}, {[]float32{0, 2}, []int{0, 1}, "0 2"}, {[]bool{true, false}, []int{1, 0}, "0 1"},
		{[]int64{1 << 40, -7}, []int{1, 0}, "-7 1099511627776"},
	} {
		n := 2
		if v, ok := c.data.([]int64); ok {
			n = len(v)
		}
		labels, classes, err := Array{Shape: []int{n}, Data: c.data}.labels("y", n)
		if err != nil || !slices.Equal(labels, c.labels) || strings.Join(classes, " ") != c.classes {
			t.Errorf("%v: %v of %q, %v; want %v of %q", c.data, labels, classes, err, c.labels, c.classes)
		}
	}
	if _, _, err := (Array{Shape: []int{1}, Data: []float64{0.5}}).labels("y", 1); err == nil || !strings.Contains(err.Error(), "want a whole number") {
		t.Errorf("a fraction: %v", err)
	}
}

// A file that lacks a class is numbered as the one that has all; numbers are
// indices only where classes have other names.
func TestUseClassesOfNumbers(t *testing.T) {
	for _, c := range []struct {
		texts, classes string
		want           []int
		fault          string
	}{
		{"5 0", "0 2 5", []int{2, 0}, ""}, {"1 0", "ham spam", []int{1, 0}, ""}, {"2 0", "a b c", []int{2, 0}, ""},
		{"3", "0 2 5", nil, `class "3" is not among`}, {"3", "a b c", nil, `class "3" is not among`}, {"-1", "a b", nil, `class "-1"`},
	} {
		var d Data
		var err error
		if d.Labels, d.Classes, err = classesOf("y", strings.Fields(c.texts)); err != nil {
			t.Fatal(err)
		}
		err = d.UseClasses(strings.Fields(c.classes))
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s as %s: %v, want %q", c.texts, c.classes, err, c.fault)
			}
		} else if err != nil || !slices.Equal(d.Labels, c.want) {
			t.Errorf("%s as %s: %v, %v; want %v", c.texts, c.classes, d.Labels, err, c.want)
		}
	}
}
