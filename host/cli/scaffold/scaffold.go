// Package scaffold writes the folder that a new plugin starts from. As it
// stands it builds, or runs, and passes the checks.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

//go:embed templates
var templates embed.FS

// Languages are those that Write knows.
func Languages() []string { return []string{"go", "python"} }

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9]*([-_][a-z0-9]+)*$`)

// Write writes a plugin called name, in one of Languages, into the folder dir,
// which must not exist or be empty. The error says what was wanted of a name,
// a language or a folder that does not fit; nothing is written then.
func Write(dir, name, lang string) error {
	if !nameForm.MatchString(name) || len(name) > 60 {
		return fmt.Errorf("plugin name %q: want at most 60 lower-case letters, digits, - and _, beginning with a letter", name)
	}
	if !slices.Contains(Languages(), lang) {
		return fmt.Errorf("language %q: want %s", lang, strings.Join(Languages(), " or "))
	}
	if old, err := os.ReadDir(dir); err == nil && len(old) > 0 {
		return fmt.Errorf("%s exists and is not empty", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	root := path.Join("templates", lang)
	files, err := fs.ReadDir(templates, root)
	if err != nil {
		return err
	}
	written := map[string][]byte{}
	for _, f := range files {
		t, err := template.New(f.Name()).Delims("<<", ">>").ParseFS(templates, path.Join(root, f.Name()))
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, map[string]string{"Name": name}); err != nil {
			return err
		}
		written[strings.TrimSuffix(f.Name(), ".tmpl")] = b.Bytes()
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, f := range files {
		base := strings.TrimSuffix(f.Name(), ".tmpl")
		if err := os.WriteFile(filepath.Join(dir, base), written[base], 0o666); err != nil {
			return err
		}
	}
	return nil
}
