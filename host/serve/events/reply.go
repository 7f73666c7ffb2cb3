package events

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// Verdict is the data of a reply, a number for each row. Scores that are infinite are
// null.
type Verdict struct {
	ID            string     `json:"id"` // of the request
	Model         string     `json:"model_name"`
	Version       string     `json:"model_version"`
	IsAdversarial []int      `json:"is_adversarial"`
	Score         []*float64 `json:"instance_score"`
	PValue        []float64  `json:"p_value,omitempty"`
	Predicted     []int      `json:"predicted"`
	Reconstructed []int      `json:"reconstructed"`
	Corrected     []int      `json:"corrected"`
	// PredictedBy is detector where the answer was not that of the detector's classifier, whose classes these then are.
	PredictedBy string `json:"predicted_by,omitempty"`
}

// verdict is the reply to an event: its attributes, and its data.
func (s *Sink) verdict(e event, m judge.Model, v *judge.Opinion) (map[string]string, []byte, error) {
	out := Verdict{ID: e.id, Model: m.Name(), Version: m.Version(), PValue: v.PValue, Predicted: v.Predicted, Reconstructed: v.Reconstructed, Corrected: v.Corrected}
	if v.Foreign {
		out.PredictedBy = "detector"
	}
	for i, f := range v.Adversarial {
		flag, score := 0, &v.Score[i]
		if f {
			flag = 1
		}
		if *score-*score != 0 {
			score = nil
		}
		out.IsAdversarial, out.Score = append(out.IsAdversarial, flag), append(out.Score, score)
	}
	body, err := json.Marshal(out)
	id := rand.Text()
	if e.kafka {
		id = e.id // where a reply may be sent twice, readers can tell
	}
	return map[string]string{"specversion": "1.0", "id": id, "type": s.o.Type, "source": "/vaeguard/" + m.Name(), "time": time.Now().UTC().Format(time.RFC3339Nano),
		"requestid": e.id, "inferenceservicename": e.service, "namespace": e.space, "endpoint": e.endpoint}, body, err
}

// reply tells of a verdict.
func (s *Sink) reply(ctx context.Context, about map[string]string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.ReplyURL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range about {
		if value != "" {
			r.Header.Set("Ce-"+name, escape(value))
		}
	}
	a, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(a.Body, 64<<10)) // so that the connection is used again
	if a.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", s.o.ReplyURL, tensors.Quote(a.Status))
	}
	return nil
}

// escape is a value as the HTTP binding has it in a header.
func escape(v string) string {
	var out []byte
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '%' {
			out = fmt.Appendf(out, "%%%02X", c)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}
