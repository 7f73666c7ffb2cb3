package spec

import (
	"reflect"
	"testing"
)

func TestReadRaw(t *testing.T) {
	t.Setenv("SECRET", "value")
	const file = `
a: {x: "${SECRET}", list: [1, "1", {deep: "p/${SECRET:d}$${NO}"}], none: null, yes: true}
b: {yes: true, none: , list: [1, '1', {deep: 'p/${SECRET:d}$${NO}'}], x: ${SECRET}}
`
	a, err := ReadRaw("f", []byte(file), "a")
	if err != nil {
		t.Fatal(err)
	}
	if want := []RawText{{"x", "${SECRET}"}, {"list[1]", "1"}, {"list[2].deep", "p/${SECRET:d}$${NO}"}}; !reflect.DeepEqual(a.Texts, want) {
		t.Errorf("texts %q", a.Texts)
	}
	b, err := ReadRaw("f", []byte(file), "b")
	if err != nil || string(a.JSON) != string(b.JSON) {
		t.Errorf("%s and %s, %v", a.JSON, b.JSON, err)
	}
	if want := `{"list":[{"":"1"},"1",{"deep":"p/${SECRET:d}$${NO}"}],"none":null,"x":"${SECRET}","yes":{"":"true"}}`; string(a.JSON) != want {
		t.Errorf("got %s", a.JSON)
	}
	if none, err := ReadRaw("f", []byte(file), "c"); err != nil || string(none.JSON) != "null" {
		t.Errorf("absent: %s, %v", none.JSON, err)
	}
	if _, err := ReadRaw("f", []byte("a: [\n"), "a"); err == nil {
		t.Error("broken YAML was read")
	}
	if got := Variables("${A}/${B:x}$${C}${A}"); !reflect.DeepEqual(got, []string{"A", "B"}) {
		t.Errorf("variables %q", got)
	}
}
