package oip

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk"
)

const (
	binaryExtension = "binary_tensor_data"
	configExtension = "model_configuration" // Triton's
	lengthHeader    = "Inference-Header-Content-Length"

	maxMetadata = 1 << 20 // bytes
	maxExcuse   = 4 << 10 // bytes of an answer that is an error
)

// rest speaks the protocol over HTTP.
type rest struct {
	client *http.Client
	base   string // …/v2
	path   string // of the model, below base
	token  string
	limit  int64
	binary bool // send and ask for binary tensors
}

func newREST(s *settings, secure *tls.Config) *rest {
	r := &rest{base: s.server() + "/v2", path: "/models/" + url.PathEscape(s.Model), token: s.Token, limit: s.limit(), binary: s.Encoding == "binary"}
	if s.Version != "" {
		r.path += "/versions/" + url.PathEscape(s.Version)
	}
	r.client = &http.Client{
		// No proxy, and no compression: what is read has the size that is declared.
		Transport: &http.Transport{TLSClientConfig: secure, DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token stays here
	}
	return r
}

func (r *rest) close() { r.client.CloseIdleConnections() }

// call makes one request and reads the answer, at most limit bytes of it.
func (r *rest) call(ctx context.Context, method, path string, header int, body []byte, limit int64) (http.Header, []byte, *fault) {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, faultf(sdk.FailedPrecondition, "%v", err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if header > 0 {
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set(lengthHeader, strconv.Itoa(header))
	}
	if parent := sdk.TraceParent(ctx); parent != "" {
		req.Header.Set("Traceparent", parent)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the message has the server already
		}
		return nil, nil, broken(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, maxExcuse)) // as much as came
		return nil, nil, refused(resp, said)
	}
	if resp.ContentLength > limit {
		return nil, nil, faultf(sdk.Internal, "the answer has %d bytes, want at most %d", resp.ContentLength, limit)
	}
	answer, err := read(resp, limit)
	switch {
	case err != nil:
		f := broken(err)
		f.message += fmt.Sprintf(" after %d bytes of the answer", len(answer))
		return nil, nil, f
	case int64(len(answer)) > limit:
		return nil, nil, faultf(sdk.Internal, "the answer has more than %d bytes", limit)
	}
	return resp.Header, answer, nil
}

// read reads a body, of one byte more than limit at most.
func read(resp *http.Response, limit int64) ([]byte, error) {
	if n := resp.ContentLength; n >= 0 {
		b := bytes.NewBuffer(make([]byte, 0, min(n, 1<<20)+bytes.MinRead)) // what is declared has yet to come
		_, err := b.ReadFrom(resp.Body)
		return b.Bytes(), err
	}
	return io.ReadAll(io.LimitReader(resp.Body, limit+1))
}

// refused is an answer with another status than 200.
func refused(resp *http.Response, said []byte) *fault {
	f := faultf(sdk.Internal, "HTTP %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if text := excuse(said); text != "" {
		f.message += ": " + text
	}
	switch code := resp.StatusCode; code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		f.kind, f.retry, f.after = sdk.FailedPrecondition, true, retryAfter(resp.Header, time.Now())
	case http.StatusUnauthorized, http.StatusForbidden:
		f.kind = sdk.FailedPrecondition
		f.message += "; is the token right?"
	case http.StatusNotFound:
		f.kind, f.missing = sdk.FailedPrecondition, true
	case http.StatusRequestEntityTooLarge:
		f.kind = sdk.ResourceExhausted // the host halves the batch
	default:
		if code >= 300 && code < 400 {
			f.kind = sdk.FailedPrecondition
			f.message += fmt.Sprintf(": redirects to %q are not followed", printable(resp.Header.Get("Location")))
		} else if code >= 400 && code < 500 {
			f.kind, f.missing = sdk.InvalidArgument, code == http.StatusBadRequest
		}
	}
	return f
}

// excuse is the reason in the body of an error.
func excuse(said []byte) string {
	var m struct {
		Error  json.RawMessage `json:"error"`
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(said, &m) == nil {
		if reason := cmp.Or(string(m.Error), string(m.Detail)); reason != "" {
			var text string
			if json.Unmarshal([]byte(reason), &text) == nil {
				reason = text
			}
			return printable(reason)
		}
	}
	return printable(string(said))
}

// retryAfter is the pause that a server asks for: seconds, or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// get asks for a small JSON document.
func (r *rest) get(ctx context.Context, path string, into any) *fault {
	_, body, f := r.call(ctx, http.MethodGet, path, 0, nil, maxMetadata)
	if f != nil {
		return f
	}
	if err := json.Unmarshal(body, into); err != nil {
		return faultf(sdk.Internal, "not the JSON of the Open Inference Protocol: %v", err)
	}
	return nil
}

func (r *rest) describe(ctx context.Context, c *caller) (*description, error) {
	var server struct {
		Extensions []string `json:"extensions"`
	}
	var model struct {
		Versions []string `json:"versions"`
		Inputs   []port   `json:"inputs"`
		Outputs  []port   `json:"outputs"`
	}
	d := &description{}
	var gone missing
	if err := c.do(ctx, "server metadata", func(ctx context.Context) *fault { return r.get(ctx, "", &server) }); err != nil && !errors.As(err, &gone) {
		return nil, err // a gateway may show the models alone
	}
	d.binary = slices.Contains(server.Extensions, binaryExtension)
	if err := c.do(ctx, "model metadata", func(ctx context.Context) *fault { return r.get(ctx, r.path, &model) }); err != nil {
		return nil, err
	}
	d.versions, d.inputs, d.outputs = model.Versions, model.Inputs, model.Outputs
	if slices.Contains(server.Extensions, configExtension) {
		var conf struct {
			Most int32 `json:"max_batch_size"`
		}
		_ = r.get(ctx, r.path+"/config", &conf) // a gateway may hide it
		d.most = int(max(0, conf.Most))
	}
	err := c.do(ctx, "model ready", func(ctx context.Context) *fault {
		_, body, f := r.call(ctx, http.MethodGet, r.path+"/ready", 0, nil, maxMetadata)
		if f != nil {
			return f
		}
		said := struct {
			Ready bool `json:"ready"`
		}{true}
		_ = json.Unmarshal(body, &said) // a body is not required
		d.ready = said.Ready
		return nil
	})
	if errors.As(err, &gone) { // 4xx: not ready
		return d, nil
	}
	return d, err
}

func (r *rest) infer(ctx context.Context, q *query) (*answer, *fault) {
	body, header, f := r.request(q)
	if f != nil {
		return nil, f
	}
	h, b, f := r.call(ctx, http.MethodPost, r.path+"/infer", header, body, r.limit)
	if f != nil {
		return nil, f
	}
	return q.response(h.Get(lengthHeader), b)
}

// request is the body of an inference, and how much of it is JSON: 0 for all.
func (r *rest) request(q *query) ([]byte, int, *fault) {
	m, f := q.message()
	if f != nil {
		return nil, 0, f
	}
	if !r.binary {
		body, _ := tensors.AppendRequest(nil, m, nil)
		return body, 0, nil
	}
	if m.Outputs == nil {
		m.Parameters = tensors.Parameters{"binary_data_output": true}
	}
	for i := range m.Outputs {
		m.Outputs[i].Parameters = tensors.Parameters{"binary_data": true}
	}
	body, header := tensors.AppendRequest(nil, m, func(tensors.Tensor) bool { return true })
	return body, int(header), nil
}

// response reads the body of an inference; header is the length of its JSON,
// or "" for all.
func (q *query) response(header string, b []byte) (*answer, *fault) {
	text, raw := b, []byte(nil)
	if header != "" {
		n, err := strconv.ParseUint(header, 10, 63)
		if err != nil || n > uint64(len(b)) {
			return nil, faultf(sdk.Internal, "%s is %q, the answer has %d bytes", lengthHeader, printable(header), len(b))
		}
		text, raw = b[:n], b[n:]
	}
	var m struct {
		Outputs []struct {
			port
			Parameters struct {
				Size *int64 `json:"binary_data_size"`
			} `json:"parameters"`
			Data json.RawMessage `json:"data"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		if bytes.Contains(text, []byte("NaN")) || bytes.Contains(text, []byte("Infinity")) {
			return nil, faultf(sdk.Internal, "the answer holds NaN or Infinity, want finite numbers")
		}
		return nil, faultf(sdk.Internal, "not the JSON of the Open Inference Protocol: %v", err)
	}
	came := make([]port, len(m.Outputs))
	for i, o := range m.Outputs {
		came[i] = o.port
	}
	at, f := q.choose(came)
	if f != nil {
		return nil, f
	}
	for i, o := range m.Outputs {
		size := o.Parameters.Size
		if size == nil {
			if i == at {
				return q.numbers(o.port, o.Data)
			}
			continue
		}
		if *size < 0 || *size > int64(len(raw)) {
			return nil, faultf(sdk.Internal, "output %q: it declares %d bytes, %d are left", o.Name, *size, len(raw))
		}
		if i == at {
			return q.raw(o.port, raw[:*size])
		}
		raw = raw[*size:]
	}
	return nil, faultf(sdk.Internal, "no outputs")
}
