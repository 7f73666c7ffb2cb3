package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/oip"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// asked is an inference whose rows could be read. done must be called once it is judged.
type asked struct {
	model   judge.Model
	done    func()
	rows    *dataset.Data
	request tensors.Request
}

// admit fails before an inference is read that would find no room to be judged.
func (p *Proxy) admit(ctx context.Context, t *target, peer string) error {
	m, done, err := p.guards.Lease(t.Name, "")
	if err != nil {
		return nil // which is told after what is wrong with the request
	}
	defer done()
	return judge.Admit(ctx, m, wayProxy, p.client(ctx, peer))
}

// wayProxy is how requests come here.
const wayProxy = "proxy"

// client is who asks.
func (p *Proxy) client(ctx context.Context, peer string) string {
	if p.o.Client != nil {
		return p.o.Client(ctx, peer)
	}
	return peer
}

// read reads the rows of an inference.
func (p *Proxy) read(t *target, q tensors.Request) (_ *asked, err error) {
	for _, o := range q.Outputs {
		if _, elsewhere := o.Parameters[tensors.SharedMemory]; elsewhere { // the client would have it before it is judged
			return nil, &tensors.Error{Tensor: o.Name, Err: errors.New("it is wanted in shared memory, which is not seen here")}
		}
	}
	m, done, err := p.guards.Lease(t.Name, "")
	if err != nil {
		return nil, err
	}
	rows, err := t.rows(m.Detector(), q.Inputs)
	if err != nil {
		done()
		return nil, err
	}
	return &asked{m, done, rows, q}, nil
}

// rows are those of the input that the guard is about.
func (t *target) rows(d *host.Detector, inputs []tensors.Tensor) (*dataset.Data, error) {
	seen := map[string]bool{}
	for _, x := range inputs {
		if seen[x.Name] {
			return nil, &judge.InputError{Input: x.Name, Err: errors.New("it is there twice")}
		}
		seen[x.Name] = true
	}
	door, err := d.Experiment.Door()
	if err != nil {
		return nil, err
	}
	name := t.Input
	if name == "" && !door.Named() && len(inputs) > 1 {
		name = "x" // as oip.Rows takes them, beside one that is no row
	}
	if name != "" {
		i := slices.IndexFunc(inputs, func(x tensors.Tensor) bool { return x.Name == name })
		if i < 0 {
			return nil, &judge.InputError{Input: name, Err: errors.New("it is missing")}
		}
		if i > 0 {
			return nil, &judge.InputError{Input: name, Err: errors.New("it does not come first, and some servers take the first input whatever its name")}
		}
	}
	if t.Input != "" {
		inputs = inputs[:1]
	}
	if len(inputs) == 1 {
		column := false
		if door.Named() {
			for _, f := range door.Features {
				column = column || f.Name == inputs[0].Name
			}
		}
		if !column {
			x := inputs[0]
			x.Name = "x"
			inputs = []tensors.Tensor{x}
		}
	}
	return oip.Rows(d, inputs)
}

// class is the index of the output with the classifier's answer on n rows; −1: there is
// none, or it could be one of several.
func (t *target) class(r tensors.Response, n, classes int) int {
	found := -1
	for i, o := range r.Outputs {
		if t.Output != "" && o.Name != t.Output || !o.Datatype.Float() || !slices.Equal(o.Shape, []int64{int64(n), int64(classes)}) {
			continue
		}
		if found >= 0 {
			return -1
		}
		found = i
	}
	return found
}

// Answered is what a guard is asked about an inference that a model server answered, for
// those who see both: the rows of the tensor input, and the classifier's answer in the
// tensor output, if it is there, with its source but for the server. "" for a name is as in Model.
func Answered(d *host.Detector, input, output string, q tensors.Request, r tensors.Response) (judge.Request, judge.Source, error) {
	t := &target{Model: &Model{Input: input, Output: output}}
	rows, err := t.rows(d, q.Inputs)
	if err != nil {
		return judge.Request{}, judge.Source{}, err
	}
	asked, from := t.answered(d, rows, r)
	return asked, from, nil
}

// answered is the request for rows and an answer on them, and who has given it.
func (t *target) answered(d *host.Detector, rows *dataset.Data, r tensors.Response) (judge.Request, judge.Source) {
	q, from := judge.Request{Rows: rows, Again: true}, judge.Source{Server: t.URL, Version: r.Version}
	n, classes := rows.X.N(), d.Info().NumClasses
	if i := t.class(r, n, classes); i >= 0 {
		q.Given, from.Output = tensor.From(r.Outputs[i].Float32s(), n, classes), r.Outputs[i].Name
	}
	return q, from
}

// errForeign is of an answer that cannot be corrected: what its classes are is not known.
var errForeign = errors.New("the model server's answer is not that of the detector's classifier")

// judge judges an inference by the answer of the model server. Where that holds no
// answer of the classifier, such as labels alone, or one of another model, the detector's own is asked.
func (p *Proxy) judge(ctx context.Context, t *target, a *asked, r tensors.Response, peer string) (*judge.Opinion, error) {
	q, from := t.answered(a.model.Detector(), a.rows, r)
	q.Include.ProbabilitiesReconstructed = t.Policy == Correct
	q.Way, q.Client, q.ID = wayProxy, p.client(ctx, peer), a.request.ID
	q.Optional = t.Policy == Observe || t.Policy == Annotate
	v, err := p.o.Kinds.Judge(ctx, a.model, q, from)
	if err != nil {
		return nil, err
	}
	if v.Foreign && t.Policy == Correct {
		return nil, errForeign
	}
	p.counts.judged.Add(1)
	p.counts.flagged.Add(int64(flagged(v)))
	return v, nil
}

func flagged(v *judge.Opinion) int {
	n := 0
	for _, f := range v.Adversarial {
		if f {
			n++
		}
	}
	return n
}

// refusal is an inference that is not answered, as both protocols have it.
type refusal struct {
	status  int
	message string
}

// Error implements error.
func (r *refusal) Error() string { return r.message }

// unjudged counts an inference that could not be judged, and refuses it if failures are
// closed.
func (p *Proxy) unjudged(t *target, err error) (note string, _ error) {
	var skipped *judge.SkippedError
	if errors.As(err, &skipped) {
		p.counts.skipped.Add(1)
		return "skipped", nil
	}
	var share *judge.OverloadedError
	if errors.As(err, &share) && share.Client && t.Policy != Observe { // who asks too much does not pass for it
		p.counts.refused.Add(1)
		return "", &refusal{http.StatusTooManyRequests, share.Error()}
	}
	out := &refusal{http.StatusServiceUnavailable, "the guard cannot judge now"}
	count, note := &p.counts.failed, "failed"
	var over *overError
	var input *judge.InputError
	var form *tensors.Error
	switch {
	case errors.As(err, &over):
		count, note = &p.counts.unread, "too-large"
		*out = refusal{http.StatusRequestEntityTooLarge, over.Error()}
	case errors.Is(err, errForeign):
		note = "another-model"
	case errors.As(err, &input), errors.As(err, &form):
		count, note = &p.counts.unread, "unreadable"
		*out = refusal{http.StatusBadRequest, "the guard cannot read the rows: " + err.Error()}
	}
	if t.Closed && t.Policy != Observe {
		p.counts.refused.Add(1)
		return "", out
	}
	count.Add(1)
	p.o.Logger.Debug("an inference passes unjudged", "model", t.Name, "why", note, "error", Told(err))
	return "unjudged: " + note, nil
}

// Told is what is wrong with an inference, for a log: without what an error quotes of the payload.
func Told(err error) string {
	var input *judge.InputError
	var form *tensors.Error
	var long *overError
	var over *judge.OverloadedError
	var away *judge.UnavailableError
	var missing *judge.NotFoundError
	var failed *judge.FailedError
	switch {
	case errors.As(err, &input) && input.Input != "":
		return "input " + tensors.Quote(input.Input) + " cannot be read"
	case errors.As(err, &input):
		return "the request cannot be read"
	case errors.As(err, &form):
		return "tensor " + tensors.Quote(form.Tensor) + " cannot be read"
	case errors.As(err, &long):
		return long.Error()
	case errors.As(err, &over):
		return over.Error()
	case errors.As(err, &away):
		return away.Error()
	case errors.As(err, &missing):
		return missing.Error()
	case errors.As(err, &failed):
		return failed.Error()
	case errors.Is(err, errForeign):
		return errForeign.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "it took too long"
	case errors.Is(err, context.Canceled):
		return "it was cut off"
	}
	return "it cannot be read"
}

// overError is of a body that is too long to judge.
type overError struct{ most int64 }

// Error implements error.
func (e *overError) Error() string { return fmt.Sprintf("more than %d bytes", e.most) }

// mostListed is the most rows whose verdicts are listed in headers.
const mostListed = 64

// parameters of an answer that was judged. What is of each row is a list with commas: the
// protocol has no lists.
func parameters(v *judge.Opinion) tensors.Parameters {
	out := tensors.Parameters{"vaeguard_verdict": "judged", "vaeguard_rows": int64(len(v.Adversarial)), "vaeguard_flagged": int64(flagged(v))}
	for name, list := range lists(v) {
		out["vaeguard_"+name] = list
	}
	if v.Foreign {
		out["vaeguard_predicted_by"] = byDetector
	}
	return out
}

// byDetector says whose classes those of a verdict are, where the model server's answer is another model's.
const byDetector = "detector"

// lists are what are told of each row.
func lists(v *judge.Opinion) map[string]string {
	flags := make([]int, len(v.Adversarial))
	for i, f := range v.Adversarial {
		if f {
			flags[i] = 1
		}
	}
	out := map[string]string{"is_adversarial": join(flags, strconv.Itoa), "instance_score": join(v.Score, number), "predicted": join(v.Predicted, strconv.Itoa),
		"reconstructed": join(v.Reconstructed, strconv.Itoa), "corrected": join(v.Corrected, strconv.Itoa)}
	if v.PValue != nil {
		out["p_value"] = join(v.PValue, number)
	}
	return out
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func join[T any](list []T, text func(T) string) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = text(v)
	}
	return strings.Join(out, ",")
}

// headers of an answer that was judged, by their names in small letters.
func headers(v *judge.Opinion) map[string]string {
	out := map[string]string{"x-vaeguard-verdict": "judged", "x-vaeguard-rows": strconv.Itoa(len(v.Adversarial)), "x-vaeguard-flagged": strconv.Itoa(flagged(v))}
	if len(v.Adversarial) <= mostListed {
		for name, list := range lists(v) {
			out["x-vaeguard-"+strings.ReplaceAll(name, "_", "-")] = list
		}
	}
	if v.Foreign {
		out["x-vaeguard-predicted-by"] = byDetector
	}
	return out
}
