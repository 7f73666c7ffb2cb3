package launch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

const hidden = "hunter2/and~more"

// TestSecretsInPieces: a secret is not shown because it comes in pieces, because a text was cut in it, or
// because it stands where a message does not.
func TestSecretsInPieces(t *testing.T) {
	h := &hider{}
	h.add([]string{hidden})
	var log bytes.Buffer
	logger := discreet{hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Trace}), h, newLogBudget(time.Unix(0, 0))}
	last := tail{hide: h}
	stdout, stderr := printed(logger, &last), printed(logger, &last)
	for _, piece := range []struct {
		to   io.Writer
		text string
	}{
		{stdout, "one " + hidden[:5]},
		{stderr, "other\nand " + hidden[:9]},
		{stdout, hidden[5:] + " end\n"},
		{stderr, hidden[9:] + "\n"},
		{stdout, strings.Repeat("x", tailRead-7) + hidden + strings.Repeat(hidden, 1000) + "\n"},
	} {
		if _, err := io.WriteString(piece.to, piece.text); err != nil {
			t.Fatal(err)
		}
	}
	last.write([]byte(strings.Repeat(hidden, tailRead/len(hidden)) + hidden + "\nnot ended: " + hidden))
	logger.Info("structured", "list", []any{hidden, 1}, "object", map[string]any{"k": hidden}, "number", 7)
	logger.Info(strings.Repeat(hidden, 3000)[:maxLine-3])
	shown := log.String() + strings.Join(last.last(), "\n")
	for _, part := range []string{hidden[:5], hidden[6:]} {
		if strings.Contains(shown, part) {
			t.Errorf("%q is shown in %.2000s", part, shown)
		}
	}
	for _, want := range []string{"one *** end", "and ***", "not ended: ***", "structured: list=", "number=7"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in %.2000s", want, shown)
		}
	}
	err := h.err(sdk.Diagnostics{{Pointer: "/a/" + hidden, Message: "fine"}, {Pointer: "/hunter2~1and~0more"}})
	if text := err.Error(); strings.Contains(text, "hunter") || !strings.Contains(text, "/a/***: fine") {
		t.Error(text)
	}
	if got := h.cut("a message that was cut: " + hidden[:4]); got != "a message that was cut: ***" {
		t.Error(got)
	}
}

// TestLongLines: of a line on stderr that is longer than go-plugin takes at once, its beginning goes on.
func TestLongLines(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("y", 1<<20)
	go func() {
		_, _ = io.WriteString(write, "one\n"+long+"\ntwo\n"+long)
		_ = write.Close()
	}()
	got, err := io.ReadAll(pipeEnd{File: read, short: &shortener{}})
	if want := "one\n" + long[:maxLine] + "\ntwo\n" + long[:maxLine]; err != nil || string(got) != want {
		t.Errorf("%d bytes, want %d: %v", len(got), len(want), err)
	}
}

// TestSecretsBeforeTheCut: messages and pointers are cut behind the filter.
func TestSecretsBeforeTheCut(t *testing.T) {
	self, err := Self("tattler")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{wire.MaxText - len(hidden), wire.MaxText - len(hidden) + 1, wire.MaxText - 6, wire.MaxText - 1} {
		config := fmt.Sprintf(`{"token": %q, "before": %d}`, hidden, n)
		c, err := Start(t.Context(), Options{Command: self, Checks: ChecksOff, RestartBudget: -1, Config: sdk.Config{JSON: []byte(config)}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Predict(t.Context(), random(1, 1, 4, 3, 2))
		if err == nil || strings.Contains(err.Error(), hidden[:4]) || !strings.Contains(err.Error(), "zzz") {
			t.Errorf("after %d bytes it ends with %q", n, err.Error()[max(0, len(err.Error())-40):])
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// tattler tells its secret at the end of a message that is as long as its config says.
type tattler struct {
	*sdktest.Fake
	Token  string `json:"token"`
	Before int    `json:"before"`
}

func (*tattler) Schema() []byte {
	return []byte(`{"type": "object", "properties": {"token": {"type": "string", "secret": true}, "before": {"type": "integer"}}}`)
}

func (p *tattler) Configure(_ context.Context, c sdk.Config) error {
	if len(c.JSON) == 0 {
		return nil
	}
	return json.Unmarshal(c.JSON, p)
}

func (p *tattler) Predict(context.Context, *tensor.Tensor) (*tensor.Tensor, error) {
	return nil, sdk.Errorf(sdk.FailedPrecondition, "%s%s", strings.Repeat("z", p.Before), p.Token)
}
