package trackers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/host/track"
)

// restRun is a run at a tracking server.
type restRun struct {
	base      *url.URL // without user and password
	user      *url.Userinfo
	id        string
	artifacts string // URI
	before    map[string]told
}

// restInfo is what a server says of a run.
type restInfo struct {
	Run struct {
		Info struct {
			RunID    string `json:"run_id"`
			Artifact string `json:"artifact_uri"`
		} `json:"info"`
		Data struct {
			Metrics []struct {
				Key   string   `json:"key"`
				Value restReal `json:"value"`
				Step  restStep `json:"step"`
			} `json:"metrics"`
		} `json:"data"`
	} `json:"run"`
}

// restReal is a number, which JSON has as a text where it is not finite.
type restReal float64

// UnmarshalJSON implements json.Unmarshaler.
func (v *restReal) UnmarshalJSON(data []byte) error {
	switch strings.Trim(string(data), `"`) {
	case "NaN":
		*v = restReal(math.NaN())
	case "Infinity":
		*v = restReal(math.Inf(1))
	case "-Infinity":
		*v = restReal(math.Inf(-1))
	default:
		return json.Unmarshal(data, (*float64)(v))
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (v restReal) MarshalJSON() ([]byte, error) {
	switch f := float64(v); {
	case math.IsNaN(f):
		return []byte(`"NaN"`), nil
	case math.IsInf(f, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(f, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(f)
	}
}

// restStep is an int64, which the JSON of protobuf may have as a text.
type restStep int

// UnmarshalJSON implements json.Unmarshaler.
func (v *restStep) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(bytes.Trim(data, `"`), (*int)(v))
}

// restTag is a tag or a param.
type restTag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// restMetric is one value of a metric.
type restMetric struct {
	Key       string   `json:"key"`
	Value     restReal `json:"value"`
	Timestamp int64    `json:"timestamp"`
	Step      int      `json:"step"`
}

// startRemote begins or resumes a run at a server.
func startRemote(ctx context.Context, r track.Run) (*restRun, error) {
	u, err := url.Parse(r.Target)
	if err != nil {
		return nil, errors.New("the address of the server cannot be read") // the cause would tell a password
	}
	s := &restRun{user: u.User, before: map[string]told{}}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	u.Path = strings.TrimSuffix(u.Path, "/")
	s.base = u
	if r.Resume && r.ID != "" {
		if err := s.resume(ctx, r.ID); err == nil {
			return s, nil
		} else if !errors.Is(err, errUnknown) {
			return nil, err
		}
	}
	return s, s.create(ctx, r)
}

// resume goes on with a run.
func (s *restRun) resume(ctx context.Context, id string) error {
	var info restInfo
	if err := s.call(ctx, http.MethodGet, "runs/get?run_id="+url.QueryEscape(id), nil, &info); err != nil {
		return err
	}
	s.id, s.artifacts = info.Run.Info.RunID, info.Run.Info.Artifact
	for _, m := range info.Run.Data.Metrics {
		s.before[m.Key] = told{int(m.Step), float64(m.Value)}
	}
	return s.call(ctx, http.MethodPost, "runs/update", map[string]any{"run_id": s.id, "status": "RUNNING"}, nil)
}

// create begins a run in the experiment of its group, which it makes if need be.
func (s *restRun) create(ctx context.Context, r track.Run) error {
	var experiment struct {
		ID string `json:"experiment_id"`
	}
	var known struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		} `json:"experiment"`
	}
	err := s.call(ctx, http.MethodGet, "experiments/get-by-name?experiment_name="+url.QueryEscape(r.Group), nil, &known)
	switch {
	case errors.Is(err, errUnknown):
		err = s.call(ctx, http.MethodPost, "experiments/create", map[string]any{"name": r.Group}, &experiment)
	case err == nil:
		experiment.ID = known.Experiment.ID
	}
	if err != nil {
		return err
	}
	var info restInfo
	if err := s.call(ctx, http.MethodPost, "runs/create", map[string]any{
		"experiment_id": experiment.ID, "run_name": r.Name, "start_time": r.At.UnixMilli(),
		"tags": []restTag{{"mlflow.runName", r.Name}, {"mlflow.source.name", "vaeguard"}, {"mlflow.source.type", "LOCAL"}},
	}, &info); err != nil {
		return err
	}
	s.id, s.artifacts = info.Run.Info.RunID, info.Run.Info.Artifact
	const most = 100 // params in one call
	list := params(r)
	for len(list) > 0 {
		n := min(most, len(list))
		var some []restTag
		for _, p := range list[:n] {
			some = append(some, restTag{p.Name, p.Value})
		}
		if err := s.call(ctx, http.MethodPost, "runs/log-batch", map[string]any{"run_id": s.id, "params": some}, nil); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// ID implements track.Log.
func (s *restRun) ID() string { return s.id }

// Metrics implements track.Log.
func (s *restRun) Metrics(ctx context.Context, step int, at time.Time, values []track.Value) error {
	var list []restMetric
	for _, v := range news(s.before, step, values) {
		list = append(list, restMetric{v.Name, restReal(v.Value), at.UnixMilli(), step})
	}
	const most = 1000 // metrics in one call
	for len(list) > 0 {
		n := min(most, len(list))
		if err := s.call(ctx, http.MethodPost, "runs/log-batch", map[string]any{"run_id": s.id, "metrics": list[:n]}, nil); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// Artifact implements track.Log, for a server that takes artifacts itself
// (mlflow-artifacts:). Those that want a client of some other storage get none.
func (s *restRun) Artifact(ctx context.Context, path string) error {
	u, err := url.Parse(s.artifacts)
	if err != nil || u.Scheme != "mlflow-artifacts" {
		return nil //nolint:nilerror // another storage, which is not ours to write to
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	to := *s.base
	to.Path += "/api/2.0/mlflow-artifacts/artifacts/" + strings.Trim(u.Path, "/") + "/" + filepath.Base(path)
	return s.do(ctx, http.MethodPut, to.String(), "application/octet-stream", data, nil)
}

// Close implements track.Log.
func (s *restRun) Close(ctx context.Context, o track.Outcome) error {
	name, _ := status(o)
	return s.call(ctx, http.MethodPost, "runs/update", map[string]any{"run_id": s.id, "status": name, "end_time": time.Now().UnixMilli()}, nil)
}

// errUnknown is a server's answer about what it does not have.
var errUnknown = errors.New("the server does not have it")

// call is a call of the REST API; in is sent as JSON, out is read from JSON, nil:
// nothing.
func (s *restRun) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	return s.do(ctx, method, s.base.String()+"/api/2.0/mlflow/"+path, "application/json", body, out)
}

// mostAnswer bounds what is read of an answer.
const mostAnswer = 16 << 20

func (s *restRun) do(ctx context.Context, method, address, kind string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	password, _ := s.user.Password()
	switch token, name := os.Getenv("MLFLOW_TRACKING_TOKEN"), os.Getenv("MLFLOW_TRACKING_USERNAME"); {
	case s.user.Username() != "":
		req.SetBasicAuth(s.user.Username(), password)
	case name != "":
		req.SetBasicAuth(name, os.Getenv("MLFLOW_TRACKING_PASSWORD"))
	case token != "":
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		var fault struct {
			Code    string `json:"error_code"`
			Message string `json:"message"`
		}
		if json.Unmarshal(answer, &fault) == nil && fault.Code == "RESOURCE_DOES_NOT_EXIST" {
			return errUnknown
		}
		if fault.Message == "" {
			fault.Message = http.StatusText(resp.StatusCode)
		}
		return fmt.Errorf("the server answers %d: %.300s", resp.StatusCode, fault.Message)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	return nil
}
