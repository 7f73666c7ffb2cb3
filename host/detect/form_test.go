package detect

import (
	"context"
	"strings"
	"testing"
)

// shaped is an opinion of any form.
type shaped struct {
	None
	form Form
}

func (s shaped) Form() Form { return s.form }

// A form that scores and attacks could not read is refused before any pass.
func TestForms(t *testing.T) {
	for _, c := range []struct {
		form Form
		want string
	}{
		{Form{}, ""},
		{Form{Logits: true}, ""},
		{Form{Rebuilt: 3}, ""},
		{Form{Rebuilt: 1, Code: 8}, ""},
		{Form{Rebuilt: 2, Logits: true}, "not both"},
		{Form{Logits: true, Code: 8}, "a code without a reconstruction"},
		{Form{Rebuilt: 3, Code: 8}, "one for each draw of noise"},
	} {
		o := options()
		o.Opinion, o.Noise, o.Scores = shaped{form: c.form}, nil, []NamedScore{{"top", testTop{}}}
		d, err := New(context.Background(), o)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.form, err, c.want)
		}
		if err == nil {
			_ = d.Close()
		}
	}
}
