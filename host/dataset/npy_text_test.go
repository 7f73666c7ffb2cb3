package dataset

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Texts come out as numpy.save of numpy.array(["", "héé", "猫𝄞"]) has them, whose
// digest this is (NumPy 2.4.6).
func TestWriteTexts(t *testing.T) {
	const want = "9709c15d9b233f84c244e83db4d9f5fdb4c52a5abe2742e1295312c446a4a885"
	texts := []string{"", "héé", "猫𝄞"}
	var b bytes.Buffer
	if err := WriteNPY(&b, Array{Shape: tensor.Shape{3}, Data: texts}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(b.Bytes())); got != want {
		t.Errorf("sha256 %s, want %s: %q", got, want, b.Bytes())
	}
	a, err := ReadNPY(&b)
	if got, _ := a.Data.([]string); err != nil || !slices.Equal(got, texts) {
		t.Errorf("%q, %v", a.Data, err)
	}
}

func TestWriteTextsEdges(t *testing.T) {
	for name, c := range map[string]struct{ in, want []string }{
		"none":          {[]string{}, nil},
		"empty ones":    {[]string{"", ""}, []string{"", ""}},
		"invalid UTF-8": {[]string{"a\xff", "b"}, []string{"a\uFFFD", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteNPY(&b, Array{Shape: tensor.Shape{len(c.in)}, Data: c.in}); err != nil {
				t.Fatal(err)
			}
			a, err := ReadNPY(&b)
			if got, _ := a.Data.([]string); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%q, %v, want %q", a.Data, err, c.want)
			}
		})
	}
	long := strings.Repeat("x", maxText/4+1)
	if err := WriteNPY(&bytes.Buffer{}, Array{Shape: tensor.Shape{1}, Data: []string{long}}); err == nil {
		t.Error("a text that ReadNPY refuses was written")
	}
}
