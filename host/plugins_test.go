package host_test

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host"
)

func TestManifest(t *testing.T) {
	m, err := host.ReadManifest([]byte("name: own\nversion: 1.0.0\nsummary: ours\ncommand: [./own, --x]\nfiles: [own]\ninput_shape: [4]\nconfig:\n  type: object\n  properties: {rate: {type: number}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "own" || m.Command[1] != "--x" || !strings.Contains(string(m.Schema()), `"rate":{"type":"number"}`) {
		t.Errorf("%+v", m)
	}
	_, err = host.ReadManifest([]byte("name: own\nversoin: 1\ncommand: []\nfiles: [../x]\ninput_shape: [0]\nclasses: 1\nconfig: {pattern: '('}\n"))
	const want = `plugin.yaml:2:1: unknown key "versoin"; did you mean "version"?
plugin.yaml:3:1: command: names no program
plugin.yaml:4:9: files[0]: "../x" is outside the folder
plugin.yaml:5:15: input_shape[0]: must be >= 1, got 0
plugin.yaml:6:10: classes: want 2 or more: with one there is nothing to tell apart
` + "plugin.yaml:7:1: config: not a JSON Schema (draft-07): pattern \"(\": error parsing regexp: missing closing ): `(`"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
