package events_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/events"
)

// script runs the client on a value, and reads JSON from it.
func script(t *testing.T, in, out any, args ...string) {
	t.Helper()
	python := os.Getenv("VAEGUARD_OIP_PYTHON")
	if python == "" {
		t.Skip("VAEGUARD_OIP_PYTHON names no Python with the packages of host/serve/oip/testdata/requirements.txt")
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, append([]string{"testdata/cloudevents_client.py"}, args...)...)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &complaint
	said, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, complaint.Bytes())
	}
	if err := json.Unmarshal(said, out); err != nil {
		t.Fatal(err)
	}
}

// Events as the package cloudevents of Python writes them are read in both modes, and it reads the replies.
func TestCloudEventsOfPython(t *testing.T) {
	type part struct {
		JSON  string `json:"json"`
		Bytes string `json:"bytes"`
	}
	b := stand(t, nil)
	request, response := b.bodies(t, false)
	binary, answer := b.bodies(t, true)
	var ids []string
	script(t, map[string]any{"request": part{string(request), base64.StdEncoding.EncodeToString(binary)}, "response": part{string(response), base64.StdEncoding.EncodeToString(answer)}}, &ids, b.url)
	if len(ids) != 4 {
		t.Fatalf("%q", ids)
	}
	for range ids {
		var got told
		select {
		case got = <-b.replies:
		case <-time.After(time.Minute):
			t.Fatalf("no reply: %+v", b.Counters())
		}
		i := slices.Index(ids, got.ID)
		if i < 0 {
			t.Fatalf("%q is none of %q", got.ID, ids)
		}
		ids[i] = ""
		for row, s := range b.want.Score {
			if *got.Score[row] != s {
				t.Errorf("%s: row %d: %v, want %v", got.ID, row, *got.Score[row], s)
			}
		}
		body, err := json.Marshal(got.Verdict)
		if err != nil {
			t.Fatal(err)
		}
		headers := map[string]string{}
		for name := range got.header {
			headers[name] = got.header.Get(name)
		}
		var read struct {
			Type, Source, RequestID, Of, Time string
		}
		script(t, map[string]any{"headers": headers, "body": string(body)}, &read)
		if read.Type != events.TypeOutlier || read.Source != "/vaeguard/small" || read.RequestID != got.ID || read.Of != got.ID || read.Time == "" {
			t.Errorf("%+v of %q", read, got.ID)
		}
	}
}
