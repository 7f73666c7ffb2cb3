package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/sdk/check"
)

// mostDifferences is how many places are named in which two schemas differ.
const mostDifferences = 4

// schemaFindings holds the config schema of plugin.yaml, which lint and editors
// read, against the one that the plugin itself declares, which decides.
func schemaFindings(manifest, described []byte) []check.Finding {
	switch {
	case len(manifest) == 0 && len(described) == 0:
		return nil
	case len(manifest) == 0:
		return []check.Finding{{Name: "manifest", Severity: check.Warn,
			Message: "plugin.yaml has no config, Describe has a schema: without it lint must start the plugin to find a wrong key"}}
	case len(described) == 0:
		return []check.Finding{{Name: "manifest", Severity: check.Fail,
			Message: "plugin.yaml has a schema of the config, Describe has none: the plugin takes no config"}}
	}
	var m, d any
	if err := json.Unmarshal(manifest, &m); err != nil {
		return []check.Finding{{Name: "manifest", Severity: check.Fail, Message: "config of plugin.yaml: " + err.Error()}}
	}
	if err := json.Unmarshal(described, &d); err != nil {
		return []check.Finding{{Name: "manifest", Severity: check.Fail, Message: "the schema of Describe: " + err.Error()}}
	}
	differences := schemaDifferences(nil, "", m, d)
	if len(differences) == 0 {
		return []check.Finding{{Name: "manifest", Severity: check.Pass, Message: "plugin.yaml and Describe have the same config"}}
	}
	more := ""
	if n := len(differences) - mostDifferences; n > 0 {
		differences, more = differences[:mostDifferences], fmt.Sprintf("; and %d more", n)
	}
	return []check.Finding{{Name: "manifest", Severity: check.Fail, Message: strings.Join(differences, "; ") + more}}
}

// schemaDifferences adds where plugin.yaml's schema m and Describe's d differ,
// by JSON pointer, in the order of their keys. What only explains is no
// difference.
func schemaDifferences(to []string, at string, m, d any) []string {
	a, isMap := m.(map[string]any)
	b, too := d.(map[string]any)
	if !isMap || !too {
		if !reflect.DeepEqual(m, d) {
			to = append(to, fmt.Sprintf("config%s is %s in plugin.yaml, Describe has %s", at, compact(m), compact(d)))
		}
		return to
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	names := strings.HasSuffix(at, "/properties") || strings.HasSuffix(at, "/definitions") // keys are the author's, whatever they say
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !names && slices.Contains([]string{"$schema", "$id", "$comment", "title", "description", "examples"}, key) {
			continue
		}
		here := at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		x, inA := a[key]
		y, inB := b[key]
		switch {
		case !inB:
			to = append(to, fmt.Sprintf("plugin.yaml has config%s, Describe does not", here))
		case !inA:
			to = append(to, fmt.Sprintf("Describe has config%s, plugin.yaml does not", here))
		default:
			to = schemaDifferences(to, here, x, y)
		}
	}
	return to
}

// compact is a JSON value in a few characters.
func compact(v any) string {
	const most = 60
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if r := []rune(string(b)); len(r) > most {
		return string(r[:most]) + "…"
	}
	return string(b)
}
