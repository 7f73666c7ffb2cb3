package oip

import (
	"net/http"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// routeV1 is who answers a path below /v1: KServe's V1 protocol, as far as a guard has it. nil:
// nobody does.
func (s *service) routeV1(parts []string) (string, answer) {
	if len(parts) == 0 || parts[0] != "models" || len(parts) > 2 {
		return "", nil
	}
	if len(parts) == 1 {
		return http.MethodGet, s.getModelsV1
	}
	if name, ok := strings.CutSuffix(parts[1], ":predict"); ok && name != "" {
		return http.MethodPost, s.postPredict(name)
	}
	return http.MethodGet, s.getModelV1(parts[1])
}

func (s *service) getModelsV1(w http.ResponseWriter, _ *http.Request) error {
	names := []string{}
	for _, m := range s.list() {
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	writeJSON(w, http.StatusOK, map[string][]string{"models": names})
	return nil
}

// getModelV1 tells whether a model is ready, with 503 if it is not, as KServe does.
func (s *service) getModelV1(name string) answer {
	return func(w http.ResponseWriter, _ *http.Request) error {
		ready, err := s.modelReady(name, "")
		if err != nil {
			return err
		}
		code := http.StatusOK
		if !ready {
			code = http.StatusServiceUnavailable
		}
		writeJSON(w, code, map[string]any{"name": name, "ready": ready})
		return nil
	}
}

// postPredict answers instances with an object for each: the outputs of the Open Inference
// Protocol that are there without being asked for.
func (s *service) postPredict(name string) answer {
	return func(w http.ResponseWriter, r *http.Request) error {
		body, release, err := s.receive(w, r, name, "")
		defer release()
		if err != nil {
			return err
		}
		q, err := tensors.ParseRequestV1(body, tensors.Limits{})
		if err != nil {
			return malformed(err)
		}
		q.Model = name
		out, err := s.infer(r.Context(), wayHTTP, peerOf(r.RemoteAddr), q)
		if err != nil {
			return err
		}
		release() // an answer may be slow to send
		w.Header().Set("Content-Type", "application/json")
		return send(w, r, append(tensors.AppendPredictionsV1([]byte(`{"predictions":`), out.Outputs), '}'))
	}
}
