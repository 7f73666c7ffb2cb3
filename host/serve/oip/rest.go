package oip

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// lengthHeader is the length of the JSON before binary data, in both directions.
const lengthHeader = "Inference-Header-Content-Length"

// Handler serves the protocol over REST, below /v2, and KServe's V1 below /v1. Whoever mounts it bounds the
// time that headers and bodies may take.
func Handler(models judge.Models, o Options) http.Handler {
	return &service{Options: o, models: models}
}

// answer writes a response or gives the error that is to be written.
type answer func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, a, err := s.route(r.URL.EscapedPath())
	if err == nil && r.Method != method && (r.Method != http.MethodHead || method != http.MethodGet) {
		w.Header().Set("Allow", method)
		err = &fault{status: http.StatusMethodNotAllowed, message: fmt.Sprintf("method %s, want %s", tensors.Quote(r.Method), method)}
	}
	if err == nil {
		err = a(w, r)
	}
	if err == nil {
		return
	}
	f := faultOf(err)
	answer := func() { writeJSON(w, f.status, map[string]string{"error": f.message}) }
	if !f.retry {
		answer()
		return
	}
	w.Header().Set("Retry-After", f.retryAfter())
	TurnAway(w, r, answer)
}

// route is who answers a path, and by which method.
func (s *service) route(path string) (string, answer, error) {
	unknown := &fault{status: http.StatusNotFound, message: "there is no such path in the Open Inference Protocol: " + tensors.Quote(path)}
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	for i, p := range parts {
		plain, err := url.PathUnescape(p)
		if err != nil || plain == "" {
			return "", nil, unknown
		}
		parts[i] = plain
	}
	if parts[0] == "v1" {
		if method, a := s.routeV1(parts[1:]); a != nil {
			return method, a, nil
		}
	}
	if parts[0] != "v2" {
		return "", nil, unknown
	}
	parts = parts[1:]
	switch {
	case len(parts) == 0:
		return http.MethodGet, s.getServer, nil
	case slices.Equal(parts, []string{"health", "live"}):
		return http.MethodGet, s.getLive, nil
	case slices.Equal(parts, []string{"health", "ready"}):
		return http.MethodGet, s.getReady, nil
	case slices.Equal(parts, []string{"repository", "index"}):
		return http.MethodPost, s.postIndex, nil
	case len(parts) == 4 && parts[0] == "repository" && parts[1] == "models" && (parts[3] == "load" || parts[3] == "unload"):
		return http.MethodPost, s.postRepository(parts[2], parts[3] == "load"), nil
	case len(parts) < 2 || parts[0] != "models":
		return "", nil, unknown
	}
	name, version, rest := parts[1], "", parts[2:]
	if len(rest) >= 2 && rest[0] == "versions" {
		version, rest = rest[1], rest[2:]
	}
	switch {
	case len(rest) == 0:
		return http.MethodGet, s.getModel(name, version), nil
	case slices.Equal(rest, []string{"ready"}):
		return http.MethodGet, s.getModelReady(name, version), nil
	case slices.Equal(rest, []string{"infer"}):
		return http.MethodPost, s.postInfer(name, version), nil
	}
	return "", nil, unknown
}

// writeJSON answers with JSON. If the client is gone, so be it.
func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("oip: an answer is not JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// readiness is 200 for what is ready and, as the protocol has it, a 4xx for what is
// not.
func readiness(ready bool) int {
	if ready {
		return http.StatusOK
	}
	return http.StatusBadRequest
}

func (s *service) getServer(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, s.server())
	return nil
}

func (s *service) getLive(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	return nil
}

func (s *service) getReady(w http.ResponseWriter, _ *http.Request) error {
	ready := s.ready()
	writeJSON(w, readiness(ready), map[string]bool{"ready": ready})
	return nil
}

func (s *service) getModel(name, version string) answer {
	return func(w http.ResponseWriter, _ *http.Request) error {
		m, err := s.metadata(name, version)
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, m)
		return nil
	}
}

func (s *service) getModelReady(name, version string) answer {
	return func(w http.ResponseWriter, _ *http.Request) error {
		ready, err := s.modelReady(name, version)
		if err != nil {
			return err
		}
		writeJSON(w, readiness(ready), map[string]any{"name": name, "ready": ready})
		return nil
	}
}

// postIndex lists the repository; a body {"ready": true} wants the models that are.
func (s *service) postIndex(w http.ResponseWriter, r *http.Request) error {
	if err := s.admin(); err != nil {
		return err
	}
	body, release, err := s.read(w, r)
	defer release()
	if err != nil {
		return err
	}
	var only struct {
		Ready bool `json:"ready"`
	}
	if len(body) > 0 && json.Unmarshal(body, &only) != nil {
		return malformed(errors.New("the body is no JSON object with a truth value ready"))
	}
	type model struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		State   string `json:"state"`
		Reason  string `json:"reason"`
	}
	out := []model{}
	for _, m := range s.index(only.Ready) {
		out = append(out, model{m.Name, m.Version, stateOf(m), m.Reason})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// postRepository loads or unloads a model. Who may do so may read why it failed.
func (s *service) postRepository(name string, load bool) answer {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := s.changeModel(r.Context(), name, load); err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, struct{}{})
		return nil
	}
}

func (s *service) postInfer(name, version string) answer {
	return func(w http.ResponseWriter, r *http.Request) error {
		body, release, err := s.receive(w, r, name, version)
		defer release()
		if err != nil {
			return err
		}
		header := int64(-1)
		if text := r.Header.Get(lengthHeader); text != "" {
			if header, err = strconv.ParseInt(text, 10, 64); err != nil || header < 0 {
				return malformed(fmt.Errorf("%s is %s, want a number of bytes", lengthHeader, tensors.Quote(text)))
			}
		}
		head := body
		if header >= 0 && header < int64(len(body)) {
			head = body[:header]
		}
		if err := tensors.CheckMembers(head); err != nil {
			return malformed(err) // readers differ in which of the two they take
		}
		q, err := tensors.ParseRequest(body, header, tensors.Limits{})
		if err != nil {
			return malformed(err)
		}
		q.Model, q.Version = name, version
		out, err := s.infer(r.Context(), wayHTTP, peerOf(r.RemoteAddr), q)
		if err != nil {
			return err
		}
		release() // an answer may be slow to send
		answer, length := tensors.AppendResponse(nil, out, func(t tensors.Tensor) bool { return q.Binary(t.Name, false) })
		h := w.Header()
		h.Set("Content-Type", "application/json")
		if length >= 0 {
			h.Set("Content-Type", "application/octet-stream")
			h.Set(lengthHeader, strconv.FormatInt(length, 10))
		}
		return send(w, r, answer)
	}
}

// peerOf is an address without its port.
func peerOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
