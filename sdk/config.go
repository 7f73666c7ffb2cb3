package sdk

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/vaeguard/vaeguard/sdk/secret"
)

// Path resolves a path of the config: relative ones start at BaseDir.
func (c Config) Path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.BaseDir, filepath.FromSlash(name))
}

// CheckConfig checks a config against a JSON Schema (draft-07 unless it says
// otherwise). A config that does not fit gives Diagnostics, sorted by pointer;
// a broken schema gives an Internal error. No config is an empty one, and no
// schema takes an empty config only.
func CheckConfig(schema, config []byte) error {
	if len(bytes.TrimSpace(config)) == 0 {
		config = []byte("{}")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config))
	if err != nil {
		return Diagnostics{{Message: "not JSON: " + err.Error()}}
	}
	if len(bytes.TrimSpace(schema)) == 0 {
		if m, ok := doc.(map[string]any); ok && len(m) == 0 {
			return nil
		}
		return Diagnostics{{Message: "this classifier takes no config"}}
	}
	s, err := compileSchema(schema)
	if err != nil {
		return Errorf(Internal, "the plugin's config schema: %w", err)
	}
	var bad *jsonschema.ValidationError
	if err := s.Validate(doc); errors.As(err, &bad) {
		d := leaves(nil, bad, message.NewPrinter(language.English))
		for i, x := range d {
			if secret.Marks(schema, x.Pointer) {
				d[i].Message = "the value, a secret, does not fit the schema"
			}
		}
		slices.SortStableFunc(d, func(a, b Diagnostic) int {
			return strings.Compare(a.Pointer+"\x00"+a.Message, b.Pointer+"\x00"+b.Message)
		})
		return slices.Compact(d)
	} else if err != nil {
		return Errorf(Internal, "the plugin's config schema: %w", err)
	}
	return nil
}

func escapePointer(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
}

func compileSchema(schema []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	const name = "plugin:config.json"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.UseLoader(jsonschema.SchemeURLLoader{}) // a schema may not pull in files or pages
	if err := c.AddResource(name, doc); err != nil {
		return nil, err
	}
	return c.Compile(name)
}

// leaves appends the complaints that have no finer cause.
func leaves(d Diagnostics, e *jsonschema.ValidationError, p *message.Printer) Diagnostics {
	if len(e.Causes) == 0 {
		var b strings.Builder
		for _, token := range e.InstanceLocation {
			b.WriteString("/" + escapePointer(token))
		}
		return append(d, Diagnostic{Pointer: b.String(), Message: e.ErrorKind.LocalizedString(p)})
	}
	for _, c := range e.Causes {
		d = leaves(d, c, p)
	}
	return d
}
