package cli

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/check"
)

func TestSchemaFindings(t *testing.T) {
	const base = `{"type": "object", "properties": {"scale": {"type": "number", "default": 1}, "title": {"type": "string"}}, "required": ["scale"]}`
	for _, c := range []struct {
		name, manifest, described string
		severity                  check.Severity
		want                      string // "": no finding
	}{
		{"neither", "", "", check.Pass, ""},
		{"equal", base, base, check.Pass, "the same config"},
		{"explained otherwise", base, strings.Replace(base, `"type": "number"`, `"description": "a factor", "type": "number"`, 1), check.Pass, "the same config"},
		{"only in the plugin", "", base, check.Warn, "plugin.yaml has no config"},
		{"only in the manifest", base, "", check.Fail, "Describe has none"},
		{"another type", base, strings.Replace(base, `"number"`, `"integer"`, 1), check.Fail, `config/properties/scale/type is "number" in plugin.yaml, Describe has "integer"`},
		{"another default", base, strings.Replace(base, `"default": 1`, `"default": 2`, 1), check.Fail, `config/properties/scale/default is 1 in plugin.yaml, Describe has 2`},
		{"a key more", base, strings.Replace(base, `"scale": {`, `"scales": {}, "scale": {`, 1), check.Fail, "Describe has config/properties/scales, plugin.yaml does not"},
		{"a key called title", strings.Replace(base, `, "title": {"type": "string"}`, "", 1), base, check.Fail, "Describe has config/properties/title"},
		{"a key less", base, `{"type": "object", "properties": {}}`, check.Fail,
			"plugin.yaml has config/properties/scale, Describe does not; plugin.yaml has config/properties/title, Describe does not; plugin.yaml has config/required"},
		{"many", `{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1}`, `{}`, check.Fail, "config/d, Describe does not; and 2 more"},
		{"broken", base, `{`, check.Fail, "the schema of Describe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := schemaFindings([]byte(c.manifest), []byte(c.described))
			if c.want == "" {
				if len(got) > 0 {
					t.Errorf("%v, want nothing", got)
				}
				return
			}
			if len(got) != 1 || got[0].Severity != c.severity || !strings.Contains(got[0].Message, c.want) {
				t.Errorf("%v, want %v with %q", got, c.severity, c.want)
			}
		})
	}
}
