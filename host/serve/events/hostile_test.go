package events_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/serve/events"
)

// TestForeignAttributes: attributes with what a line or a terminal would obey, or that readers may see differently,
// are taken in no mode; what escapes may stand for is not.
func TestForeignAttributes(t *testing.T) {
	b := stand(t, nil)
	structured := func(more string) string {
		return fmt.Sprintf(`{"specversion":"1.0","type":%q,"source":"/here"%s}`, events.TypeRequest, more)
	}
	binary := func(name, value string) http.Header {
		h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {events.TypeRequest}, "Ce-Source": {"/here"}}
		h.Set(name, value)
		return h
	}
	one, many := http.Header{"Content-Type": {"application/cloudevents+json"}}, http.Header{"Content-Type": {"application/cloudevents-batch+json"}}
	for name, c := range map[string]struct {
		header http.Header
		body   string
		want   string // "": it is taken
	}{
		"line break":                  {one, structured(`,"id":"a\nb"`), `id is "a\\nb", want no control characters`},
		"escape":                      {one, structured(`,"id":"a\u001b[2J"`), "want no control characters"},
		"control of eight bits":       {one, structured(`,"id":"a\u009b2J"`), "want no control characters"},
		"in a service":                {one, structured(`,"id":"a","inferenceservicename":"a\u0000b"`), "inferenceservicename"},
		"in a namespace":              {binary("Ce-Namespace", "a%0Db"), "{}", "namespace"},
		"in an endpoint":              {binary("Ce-Endpoint", "%7F"), "{}", "endpoint"},
		"escaped in a header":         {binary("Ce-Id", "a%0D%0ASet-Cookie: x"), "{}", `id is "a\\r\\nSet-Cookie: x"`},
		"no UTF-8":                    {binary("Ce-Id", "a%FF"), "{}", "id"},
		"twice":                       {one, structured(`,"id":"a","id":"b"`), `member "id" is there twice`},
		"twice but for case":          {one, structured(`,"id":"a","SpecVersion":"2.0"`), `member "SpecVersion" is there twice`},
		"in a batch":                  {many, "[" + structured(`,"id":"a"`) + "," + structured(`,"id":"a\rb"`) + "]", "want no control characters"},
		"a batch with more after it":  {many, "[" + structured(`,"id":"a"`) + "]{}", "no list of JSON"},
		"a batch that ends early":     {many, "[" + structured(`,"id":"a"`), "no list of JSON"},
		"a batch that is one":         {many, structured(`,"id":"a"`), "no list of JSON"},
		"letters of others, a sign %": {one, structured(`,"id":"zoë/100%"`), ""},
		"escaped letters":             {binary("Ce-Id", "zo%C3%ABl"), "{}", ""},
		"an empty batch":              {many, " [ ] ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := b.Counters().Failed
			code, text := b.post(t, c.header.Clone(), []byte(c.body))
			if code != http.StatusOK || !strings.Contains(text, c.want) || c.want == "" && text != "" {
				t.Errorf("%d %s, want %q", code, text, c.want)
			}
			if n := b.Counters().Failed - before; (n == 1) != (c.want != "") {
				t.Errorf("%d are counted as failed", n)
			}
			if strings.ContainsAny(strings.TrimSpace(text), "\x1b\r\n\u009b") {
				t.Errorf("%q", text)
			}
		})
	}
}

// TestReadingIsBounded: events that come slowly hold no more than Memory together: what finds no room is dropped,
// with 200, and those that hold it are taken as ever.
func TestReadingIsBounded(t *testing.T) {
	const kib = 1 << 10
	b := stand(t, func(o *events.Options) { o.MaxBody, o.Memory = 64*kib, 100*kib })
	header := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"other"}, "Ce-Source": {"/here"}}
	codes := make(chan int, 2)
	var ends []*io.PipeWriter
	for range 2 {
		body, w := io.Pipe()
		ends = append(ends, w)
		go func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url, body)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header = header.Clone()
			a, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				codes <- 0
				return
			}
			_ = a.Body.Close()
			codes <- a.StatusCode
		}()
		if _, err := w.Write(make([]byte, 45*kib)); err != nil {
			t.Fatal(err)
		}
	}
	large := make([]byte, 60*kib)
	for end := time.Now().Add(time.Minute); b.Counters().Dropped == 0; time.Sleep(time.Millisecond) { // they are read as they come
		if code, text := b.post(t, header.Clone(), large); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", b.Counters())
		}
	}
	for _, w := range ends {
		_ = w.Close()
	}
	for range 2 {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a slow one is answered with %d", code)
		}
	}
	dropped := b.Counters().Dropped
	if code, _ := b.post(t, header.Clone(), large); code != http.StatusOK || b.Counters().Dropped != dropped {
		t.Errorf("afterwards %d, %+v", code, b.Counters())
	}
}

// TestNoPayloadInLog: a log has nothing of an event's data, nor of what is no event.
func TestNoPayloadInLog(t *testing.T) {
	const secret = "4711secret"
	var log bytes.Buffer
	b := stand(t, func(o *events.Options) {
		o.Logger = hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Trace})
	})
	_, response := b.bodies(t, false)
	bad := []string{`{"inputs":[{"name":"in","shape":[1],"datatype":"FP32","data":["` + secret + `"]}]}`, `{"inputs":"` + secret + `"}`, secret}
	for i, body := range bad {
		b.send(t, fmt.Sprint(i), events.TypeRequest, []byte(body))
		b.send(t, fmt.Sprint(i), events.TypeResponse, response)
	}
	b.post(t, http.Header{"Content-Type": {"application/cloudevents+json"}}, []byte(`{"specversion":"`+secret+`"}`))
	for end := time.Now().Add(time.Minute); b.Counters().Failed < int64(len(bad))+1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", b.Counters())
		}
	}
	b.Close()
	if text := log.String(); strings.Contains(text, secret) || !strings.Contains(text, "was not judged") {
		t.Errorf("the log:\n%s", text)
	}
}
