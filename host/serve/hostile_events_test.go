package serve_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vaeguard/vaeguard/host/serve/events"
)

// canary is what nobody may be led to call, and the place of replies that tries to lead there.
type canary struct {
	*httptest.Server
	calls   atomic.Int64
	replies net.Listener
	replied atomic.Int64
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	c := &canary{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { c.calls.Add(1) }))
	t.Cleanup(c.Close)
	var err error
	if c.replies, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.replies.Close() })
	go func() {
		for {
			conn, err := c.replies.Accept()
			if err != nil {
				return
			}
			go c.lead(conn)
		}
	}()
	return c
}

// lead answers each reply with a status that has escapes, and with another place to go.
func (c *canary) lead(conn net.Conn) {
	defer conn.Close()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		return
	}
	c.replied.Add(1)
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 307 \x1b[2Jall is well\r\nLocation: %s/latest/meta-data\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", c.URL) // its reader may be gone
}

// replyURL is where the sink is to reply to.
func (c *canary) replyURL() string { return "http://" + c.replies.Addr().String() + "/" }

// eventPost is a request with an event. Its headers end in line breaks.
func eventPost(headers, body string) string {
	return "POST /events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + headers + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body
}

// binaryEvent is one in binary mode.
func binaryEvent(id, kind, more, body string) string {
	return eventPost("Ce-Specversion: 1.0\r\nCe-Id: "+id+"\r\nCe-Type: "+kind+"\r\nCe-Source: /here\r\n"+more, body)
}

// structuredEvent is one in structured mode.
func structuredEvent(id, kind, more string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"type":%q,"source":"/here"%s}`, id, kind, more)
}

const (
	structuredMode = "Content-Type: application/cloudevents+json\r\n"
	batchedMode    = "Content-Type: application/cloudevents-batch+json\r\n"
)

// halves are a request and its response, as the data of events.
func halves() (request, response string) {
	row := strings.TrimSuffix(strings.Repeat("0.5,", 64), ",")
	p := strings.TrimSuffix(strings.Repeat("0.1,", 10), ",")
	return tensorOf("[1,64]", "FP32", "["+row+"]"), `{"model_name":"small","outputs":[{"name":"p","shape":[1,10],"datatype":"FP32","data":[` + p + `]}]}`
}

// eventIntruders send events. c is what none of them may have called.
func eventIntruders(c *canary) []intruder {
	request, response := halves()
	// fails sends an inference that cannot be read, and waits until it has failed.
	fails := func(headers func(kind string) string, bad string) func(*testing.T, *running) string {
		return func(t *testing.T, s *running) string {
			before := s.Events().Counters().Failed
			s.raw(t, intruder{send: eventPost(headers(events.TypeResponse), response)}, 0)
			got := s.raw(t, intruder{send: eventPost(headers(events.TypeRequest), bad)}, 0)
			await(t, "the inference fails", func() bool { return s.Events().Counters().Failed == before+1 })
			status, _, _ := strings.Cut(strings.TrimPrefix(got, "HTTP/1.1 "), " ")
			return status + ", and counts it as failed"
		}
	}
	binary := func(id, more string) func(string) string {
		return func(kind string) string {
			return "Ce-Specversion: 1.0\r\nCe-Id: " + id + "\r\nCe-Type: " + kind + "\r\nCe-Source: /here\r\n" + more
		}
	}
	const failed = "200, and counts it as failed"
	led := fmt.Sprintf(`,"source":"file:///etc/passwd","dataschema":"http://169.254.169.254/latest/meta-data","reply_url":%q,"replyurl":%q,"dataref":%q`, c.URL, c.URL, c.URL)
	return []intruder{
		{kind: "events", what: "100,000 lists in each other", send: eventPost(structuredMode, `{"specversion":"1.0","data":`+strings.Repeat("[", 100_000)), want: " 200 ", cause: "more than 10000 levels"},
		{kind: "events", what: "a batch of 100,000", send: eventPost(batchedMode, "["+strings.TrimSuffix(strings.Repeat("{},", 100_000), ",")+"]"), want: " 200 ", cause: `specversion is "", want 1.0`},
		{kind: "events", what: "a batch of 16,385", send: eventPost(batchedMode, "["+strings.TrimSuffix(strings.Repeat(`{"specversion":"1.0","id":"1","type":"t","source":"s"},`, 1<<14+1), ",")+"]"), want: " 200 ", cause: "more than 16384 events"},
		{kind: "events", what: "a batch that is no list of them", send: eventPost(batchedMode, "["+strings.TrimSuffix(strings.Repeat("0,", 500_000), ",")+"]"), want: " 200 ", cause: "no JSON of a CloudEvent"},
		{kind: "events", what: "a megabyte of attributes", send: binaryEvent("1", events.TypeRequest, "Ce-Inferenceservicename: "+strings.Repeat("a", 1<<20)+"\r\n", "{}"), want: " 431 ", cause: "Header Fields Too Large"},
		{kind: "events", what: "an id of 2,000 characters", send: binaryEvent(strings.Repeat("i", 2000), events.TypeRequest, "", "{}"), want: " 200 ", cause: "2000 characters, want at most 1024"},
		{kind: "events", what: "an id with line breaks", send: eventPost(structuredMode, structuredEvent("1\r\nvaeguard: all is well", events.TypeRequest, "")), want: " 200 ", cause: `no control characters`},
		{kind: "events", what: "an id with escapes that are escaped", send: binaryEvent("1%1b%5b2J%0d%0aSet-Cookie:%20x", events.TypeRequest, "", "{}"), want: " 200 ", cause: "no control characters", never: "\x1b"},
		{kind: "events", what: "a service in a service", send: eventPost(structuredMode, structuredEvent("1", events.TypeRequest, `,"inferenceservicename":"a\u0000b"`)), want: " 200 ", cause: "no control characters"},
		{kind: "events", what: "two ids", send: eventPost(structuredMode, structuredEvent("1", events.TypeRequest, `,"ID":"2"`)), want: " 200 ", cause: "is there twice"},
		{kind: "events", what: "a version that does not exist", send: eventPost("Ce-Specversion: 9.9\r\nCe-Id: 1\r\nCe-Type: t\r\nCe-Source: s\r\n", "{}"), want: " 200 ", cause: `"9.9", want 1.0`},
		{kind: "events", what: "another format", send: eventPost("Content-Type: application/cloudevents+avro\r\n", "Obj\x01"), want: " 200 ", cause: `"application/cloudevents+avro", want JSON`},
		{kind: "events", what: "a type of its own", do: ignored("its-own", request), says: "200, and ignores it"},
		{kind: "events", what: "what claims to be our own verdict", do: ignored(events.TypeOutlier, `{"id":"1","model_name":"small","is_adversarial":[1]}`), says: "200, and ignores it"},
		{kind: "events", what: "places to call, and a reply that leads on", do: func(t *testing.T, s *running) string {
			before, replied := s.Events().Counters(), c.replied.Load()
			for kind, data := range map[string]string{events.TypeRequest: request, events.TypeResponse: response} {
				text := strings.Replace(structuredEvent("led", kind, led+`,"data":`+data), `,"source":"/here"`, "", 1)
				s.raw(t, intruder{send: eventPost(structuredMode+"Ce-Reply_url: "+c.URL+"\r\n", text)}, 0)
			}
			await(t, "the reply", func() bool { return s.Events().Counters().Unreplied == before.Unreplied+1 })
			if got := s.Events().Counters(); got.Judged != before.Judged+1 || c.calls.Load() != 0 || c.replied.Load() != replied+1 {
				t.Errorf("%+v, %d replies, and %d calls elsewhere", got, c.replied.Load(), c.calls.Load())
			}
			return "200, judges it, and calls reply_url alone"
		}, says: "200, judges it, and calls reply_url alone"},
		{kind: "events", what: "64 MB in data_base64 of 90 kB", do: func(t *testing.T, s *running) string {
			bomb := base64.StdEncoding.EncodeToString([]byte(zeros(64 << 20)))
			answered := binary("bomb", "")
			return fails(func(kind string) string {
				if kind == events.TypeRequest {
					return structuredMode
				}
				return answered(kind)
			}, structuredEvent("bomb", events.TypeRequest, `,"datacontentencoding":"gzip","data_base64":"`+bomb+`"`))(t, s)
		}, says: failed},
		{kind: "events", what: "a shape of 2^62 numbers", do: fails(binary("shape", ""), tensorOf("[4611686018427387904]", "FP32", "[1]")), says: failed},
		{kind: "events", what: "entities of XML that call each other", do: fails(binary("xml", "Content-Type: text/xml\r\n"), `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>`), says: failed},
		{kind: "events", what: "a header of JSON of minus one", do: fails(binary("length", "Inference-Header-Content-Length: -1\r\n"), request), says: failed},
		{kind: "events", what: "8,000 requests that nobody answers", do: func(t *testing.T, s *running) string {
			var list []string
			for i := range 8_000 {
				list = append(list, structuredEvent(fmt.Sprint("lonely-", i), events.TypeRequest, ""))
			}
			got := s.raw(t, intruder{send: eventPost(batchedMode, "["+strings.Join(list, ",")+"]")}, 0)
			status, _, _ := strings.Cut(strings.TrimPrefix(got, "HTTP/1.1 "), " ")
			return fmt.Sprintf("%s, and keeps %d", status, s.Events().Counters().Waiting)
		}, says: "200, and keeps 4096"},
	}
}

// ignored sends both halves under a type, and sees that nothing comes of them.
func ignored(kind, data string) func(*testing.T, *running) string {
	return func(t *testing.T, s *running) string {
		before := s.Events().Counters()
		got := ""
		for range 2 {
			got = s.raw(t, intruder{send: binaryEvent("1", kind, "Ce-Inferenceservicename: small\r\n", data)}, 0)
		}
		if after := s.Events().Counters(); after.Ignored != before.Ignored+2 || after.Waiting != before.Waiting {
			t.Errorf("%+v", after)
		}
		status, _, _ := strings.Cut(strings.TrimPrefix(got, "HTTP/1.1 "), " ")
		return status + ", and ignores it"
	}
}

// holdEvents holds that nobody was called but the place of replies, and that what was kept is bounded.
func holdEvents(t *testing.T, s *running, c *canary) {
	t.Helper()
	if n := c.calls.Load(); n != 0 {
		t.Errorf("%d calls to where events lead", n)
	}
	text, _ := json.Marshal(s.Events().Counters())
	t.Logf("events: %s", text)
}
