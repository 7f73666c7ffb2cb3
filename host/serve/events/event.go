package events

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/otel/trace"

	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// event is a CloudEvent of version 1.0, as far as it matters here.
type event struct {
	id, kind, source string
	service, space   string // KServe's extensions: inferenceservicename, namespace
	endpoint         string
	length           string // of the JSON before binary data, where it is told

	traceParent, traceState string            // extensions traceparent and tracestate
	cause                   trace.SpanContext // the span in which it arose, if any

	data  []byte
	kafka bool   // it came from there, and waits for room instead of being dropped
	done  func() // once nothing more comes of it; nil: nobody asks
}

// finish tells that nothing more comes of an event.
func (e event) finish() {
	if e.done != nil {
		e.done()
	}
}

const (
	maxAttribute = 1024    // characters of one that is kept
	maxBatch     = 1 << 14 // events of a batch
)

// valid refuses what is no event.
func (e event) valid() error {
	for _, v := range []struct{ name, value string }{{"id", e.id}, {"type", e.kind}, {"source", e.source}} {
		if v.value == "" {
			return fmt.Errorf("the event has no %s", v.name)
		}
		if len(v.value) > maxAttribute {
			return fmt.Errorf("the event's %s has %d characters, want at most %d", v.name, len(v.value), maxAttribute)
		}
	}
	for _, v := range []struct{ name, value string }{
		{"id", e.id}, {"type", e.kind}, {"source", e.source},
		{"inferenceservicename", e.service}, {"namespace", e.space}, {"endpoint", e.endpoint},
	} {
		if strings.ContainsFunc(v.value, unicode.IsControl) || !utf8.ValidString(v.value) {
			return fmt.Errorf("the event's %s is %s, want no control characters", v.name, tensors.Quote(v.value)) // by the specification's type system
		}
	}
	if len(e.service)+len(e.space)+len(e.endpoint) > maxAttribute {
		return errors.New("the event's extensions are too long")
	}
	return nil
}

// key is what a request and its response share.
func (e event) key() string {
	return strings.Join([]string{e.space, e.service, e.endpoint, e.id}, "\x00")
}

// read reads the events of an HTTP request in binary, structured or batched mode.
func read(h http.Header, body []byte) ([]event, error) {
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case media == "application/cloudevents+json":
		e, err := structured(body)
		return []event{e}, err
	case media == "application/cloudevents-batch+json":
		return batch(body)
	case strings.HasPrefix(media, "application/cloudevents"):
		return nil, fmt.Errorf("events in %s, want JSON", tensors.Quote(media))
	}
	if v := h.Get("Ce-Specversion"); v != "1.0" {
		return nil, fmt.Errorf("ce-specversion is %.20q, want 1.0", v)
	}
	e := attributes(h)
	e.data = body
	return []event{e}, e.valid()
}

// unread is an event in binary mode before its data is read; false: it is in another mode, or none.
func unread(h http.Header) (event, bool) {
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if strings.HasPrefix(media, "application/cloudevents") || h.Get("Ce-Specversion") != "1.0" {
		return event{}, false
	}
	e := attributes(h)
	return e, e.valid() == nil
}

// attributes are those of an event in binary mode.
func attributes(h http.Header) event {
	attribute := func(name string) string {
		v := h.Get("Ce-" + name)
		if plain, err := url.PathUnescape(v); err == nil { // of the HTTP binding, 3.1.3.2
			return plain
		}
		return v
	}
	return event{id: attribute("Id"), kind: attribute("Type"), source: attribute("Source"), service: attribute("Inferenceservicename"), space: attribute("Namespace"),
		endpoint: attribute("Endpoint"), traceParent: attribute("Traceparent"), traceState: attribute("Tracestate"), length: h.Get("Inference-Header-Content-Length")}
}

// batch reads a list of events, one by one: a list of what is none would take many times its length.
func batch(text []byte) ([]event, error) {
	none := errors.New("the batch is no list of JSON")
	dec := json.NewDecoder(bytes.NewReader(text))
	if begin, err := dec.Token(); err != nil || begin != json.Delim('[') {
		return nil, none
	}
	var out []event
	for dec.More() {
		if len(out) == maxBatch {
			return nil, fmt.Errorf("the batch has more than %d events", maxBatch)
		}
		var one json.RawMessage
		if dec.Decode(&one) != nil {
			return nil, none
		}
		e, err := structured(one)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	if _, err := dec.Token(); err != nil {
		return nil, none
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, none
	}
	return out, nil
}

// structured reads an event that is JSON.
func structured(text []byte) (event, error) {
	if err := tensors.CheckMembers(text); err != nil {
		return event{}, fmt.Errorf("the event: %w", err)
	}
	var m struct {
		Version  string          `json:"specversion"`
		ID       string          `json:"id"`
		Type     string          `json:"type"`
		Source   string          `json:"source"`
		Service  string          `json:"inferenceservicename"`
		Space    string          `json:"namespace"`
		Endpoint string          `json:"endpoint"`
		Parent   string          `json:"traceparent"`
		State    string          `json:"tracestate"`
		Data     json.RawMessage `json:"data"`
		Base64   *string         `json:"data_base64"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return event{}, errors.New("the event is no JSON of a CloudEvent")
	}
	if m.Version != "1.0" {
		return event{}, fmt.Errorf("specversion is %.20q, want 1.0", m.Version)
	}
	e := event{id: m.ID, kind: m.Type, source: m.Source, service: m.Service, space: m.Space, endpoint: m.Endpoint, traceParent: m.Parent, traceState: m.State, data: m.Data}
	var quoted string
	switch {
	case m.Base64 != nil:
		b, err := base64.StdEncoding.DecodeString(*m.Base64)
		if err != nil {
			return event{}, errors.New("data_base64 is no base64")
		}
		e.data = b
	case json.Unmarshal(m.Data, &quoted) == nil: // JSON as a text
		e.data = []byte(quoted)
	}
	return e, e.valid()
}

// header is the length of the JSON of a body: as told, or where its first value ends; −1:
// nothing follows it.
func (e event) header() (int64, error) {
	if e.length != "" {
		n, err := strconv.ParseInt(e.length, 10, 64)
		if err != nil || n < 0 {
			return 0, errors.New("Inference-Header-Content-Length is no number of bytes")
		}
		return n, nil
	}
	dec := json.NewDecoder(bytes.NewReader(e.data))
	var first json.RawMessage
	if err := dec.Decode(&first); err != nil {
		return -1, nil // who reads it says so
	}
	n := dec.InputOffset()
	if n == int64(len(e.data)) || len(bytes.Trim(e.data[n:], " \t\r\n")) == 0 {
		return -1, nil
	}
	return n, nil
}
