package gradient

import (
	"reflect"
	"strings"
	"testing"
)

// TestDocs: what the spec accepts is documented, and its options are those of
// the section.
func TestDocs(t *testing.T) {
	section := reflect.TypeFor[Section]()
	field, _ := section.FieldByName("Kind")
	var kinds []string
	for _, d := range Docs() {
		kinds = append(kinds, string(d.Kind))
		if first, _, _ := strings.Cut(d.Text, "\n"); !strings.HasSuffix(first, ".") {
			t.Errorf("%s: %q is no sentence", d.Kind, first)
		}
		if !strings.HasPrefix(d.Example, "gradient: "+string(d.Kind)) {
			t.Errorf("%s: example %q", d.Kind, d.Example)
		}
		found := d.Key == "" && d.Options == nil
		for i := range section.NumField() {
			f := section.Field(i)
			if f.Tag.Get("yaml") == d.Key && d.Options != nil && f.Type.Elem() == reflect.TypeOf(d.Options) {
				found = true
			}
		}
		if !found {
			t.Errorf("%s: the section has no key %q of type %T", d.Kind, d.Key, d.Options)
		}
	}
	if got, want := strings.Join(kinds, "|"), field.Tag.Get("enum"); got != want {
		t.Errorf("documented: %s, accepted: %s", got, want)
	}
}
