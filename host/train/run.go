package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Run trains an auto-encoder. When the context ends it finishes the batch,
// hands over a checkpoint and returns the context's error. A loss that is not
// a number ends it with a *BatchError; whatever the error, the model is as the
// last complete step left it.
//
// The same options give the same bits for any number of threads of the
// engine, provided that the classifier's answers have them; so does a
// training that was cut short and resumed.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	switch {
	case o.Model == nil || o.Loss == nil:
		return nil, errors.New("training needs a model and a loss")
	case !o.Train.Example().Equal(o.Model.Input):
		return nil, fmt.Errorf("training rows are %v, the auto-encoder takes %v", o.Train.Example(), o.Model.Input)
	}
	if err := restoreCompanion(&o); err != nil {
		return nil, err
	}
	g, err := newGuard(ctx, &o)
	if err != nil {
		return nil, err
	}
	if err := restoreCompanion(&o); err != nil {
		return nil, err
	}
	return newLoop(&o, g).run(ctx)
}

// loop is what every training has in common.
type loop struct {
	o      *Options
	l      learner
	params []*nn.Param
	grads  *nn.Grads
	opt    *nn.OptimizerState
	steps  int              // per epoch
	best   []*tensor.Tensor // params of the best epoch; nil: those of the last one are kept
	p      Progress

	names   []string  // of the values: loss, then the metrics
	values  []float64 // of a step
	metrics []Value   // for events
	rate    float64
	began   time.Time
}

func newLoop(o *Options, l learner) *loop {
	r := &loop{o: o, l: l, params: l.params(), began: time.Now()}
	r.grads = nn.NewGrads(r.params)
	r.opt = nn.NewOptimizerState(o.Optimizer, r.params)
	r.steps = (o.Train.N() + o.BatchSize - 1) / o.BatchSize
	r.names = []string{"loss"}
	for _, m := range l.reports() {
		r.names = append(r.names, m.Name)
	}
	r.values = make([]float64, len(r.names))
	r.p.Sums = make([]float64, len(r.values))
	if r.watch(); o.EarlyStopping != nil || r.keeps() {
		for _, p := range r.params {
			r.best = append(r.best, p.Value.Clone())
		}
	}
	return r
}

func (r *loop) run(ctx context.Context) (*Result, error) {
	if e := r.o.EarlyStopping; e != nil {
		if err := e.validate(r.watched(), r.o.Validation != nil); err != nil {
			return nil, err
		}
	}
	if r.o.Resume != nil {
		if err := r.restore(r.o.Resume); err != nil {
			return nil, err
		}
		if r.p.Epoch > 0 { // before that there is nothing that Epoch could say
			r.tell(Event{Stage: StageResume, Epoch: r.p.Epoch, Step: r.p.Step})
		}
	}
	g := newGatherer(r.o.Train, min(r.o.BatchSize, r.o.Train.N()))
	defer g.close()
	for r.p.Epoch < r.o.Epochs && !r.p.Stopped {
		if err := r.epoch(ctx, g); err != nil {
			return nil, err
		}
	}
	if r.best != nil && r.p.BestEpoch > 0 {
		for i, p := range r.params {
			copy(p.Value.Data, r.best[i].Data)
		}
	}
	out := &Result{History: r.p.History, Stopped: r.p.Stopped, Underflows: r.p.Underflows, Seconds: r.seconds()}
	if r.best != nil {
		out.BestEpoch = r.p.BestEpoch
	}
	var err error
	out.Robustness, err = r.robustness(context.WithoutCancel(ctx), out.BestEpoch)
	return out, err
}

func (r *loop) seconds() float64 { return r.p.Seconds + time.Since(r.began).Seconds() }

// epoch makes the rest of an epoch.
func (r *loop) epoch(ctx context.Context, g *gatherer) error {
	perm := order(r.o.Seed, streamOrder, r.p.Epoch, r.o.Train.N())
	rowsOf := func(step int) []int {
		return perm[step*r.o.BatchSize : min((step+1)*r.o.BatchSize, len(perm))]
	}
	before := r.p.Underflows
	whole := context.WithoutCancel(ctx) // a batch is finished even if cancelled
	if r.p.Step < r.steps {
		g.start(rowsOf(r.p.Step))
	}
	for r.p.Step < r.steps {
		b := g.take()
		if err := ctx.Err(); err != nil {
			return errors.Join(err, r.checkpoint())
		}
		if b.err != nil { // what was learnt so far is worth keeping
			return errors.Join(fmt.Errorf("epoch %d, step %d: data.train: %w", r.p.Epoch+1, r.p.Step+1, b.err), r.checkpoint())
		}
		if r.p.Step+1 < r.steps {
			g.start(rowsOf(r.p.Step + 1))
		}
		b.epoch, b.step, b.total = r.p.Epoch, r.p.Epoch*r.steps+r.p.Step, r.o.Epochs*r.steps
		if err := r.step(whole, b); err != nil {
			return err
		}
		if every := r.o.Checkpoint.Every; every > 0 && (b.step+1)%every == 0 && r.p.Step < r.steps {
			if err := r.checkpoint(); err != nil {
				return err
			}
		}
	}
	return r.finish(whole, r.p.Underflows-before)
}

// step makes one step.
func (r *loop) step(ctx context.Context, b *batch) error {
	r.grads.Zero()
	clear(r.values)
	if err := r.l.step(ctx, b, r.grads, r.values); errors.Is(err, errRebuilt) {
		return &BatchError{Epoch: r.p.Epoch + 1, Step: r.p.Step + 1, Rows: append([]int(nil), b.rows...),
			Err: fmt.Errorf("%w: lower the learning rate, set train.clip_norm, or look at the batch's rows", err)}
	} else if err != nil {
		// The params are whole: what was learnt so far is worth keeping.
		return errors.Join(fmt.Errorf("epoch %d, step %d: %w", r.p.Epoch+1, r.p.Step+1, err), r.checkpoint())
	}
	r.values[0] += r.grads.Penalty(r.o.Engine)
	for i, v := range r.values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return &BatchError{Epoch: r.p.Epoch + 1, Step: r.p.Step + 1, Rows: append([]int(nil), b.rows...),
				Err: fmt.Errorf("%s is %v: lower the learning rate, set train.clip_norm, or look at the batch's rows", r.names[i], v)}
		}
	}
	if norm := r.norm(); math.IsNaN(norm) || math.IsInf(norm, 0) {
		return &BatchError{Epoch: r.p.Epoch + 1, Step: r.p.Step + 1, Rows: append([]int(nil), b.rows...),
			Err: fmt.Errorf("the gradient's norm is %v: lower the learning rate, or look at the batch's rows", norm)}
	}
	if r.o.ClipValue > 0 {
		r.grads.ClipValue(r.o.ClipValue)
	}
	r.rate = r.o.Optimizer.Rate()
	if r.o.Schedule != nil {
		r.rate = r.o.Schedule.At(r.rate, b.step, b.total)
	}
	r.rate *= r.o.Harden.decay(b.step, b.total)
	r.opt.Step(r.o.Engine, r.grads, r.rate)

	if c := r.companionOf(); c != nil {
		c.Step()
	}
	r.p.Step++
	r.p.Rows += len(b.rows)
	r.p.Underflows += r.l.underflows()
	for i, v := range r.values {
		r.p.Sums[i] += v * float64(len(b.rows))
	}
	r.tell(Event{Stage: StageStep, Step: r.p.Step, Metrics: r.means()})
	return nil
}

// smallParam is the size up to which a param's gradient is looked at for
// NaN or infinite numbers: all biases, through which whatever breaks a kernel's
// gradient goes too.
const smallParam = 4096

// norm clips the gradient's norm and returns what it was. Without a limit it
// is only that of the small params: a whole pass over all gradients would cost
// a large model as much as a layer.
func (r *loop) norm() float64 {
	if r.o.ClipNorm > 0 {
		return r.grads.ClipGlobalNorm(r.o.Engine, r.o.ClipNorm)
	}
	sum := 0.0
	for _, p := range r.params {
		if p.Role == nn.Weight && len(p.Value.Data) <= smallParam {
			sum += r.o.Engine.SumSquares(r.grads.Of(p).Data)
		}
	}
	return math.Sqrt(sum)
}

// means are the epoch's metrics so far. The slice is reused.
func (r *loop) means() []Value {
	r.metrics = r.metrics[:0]
	for i, n := range r.names {
		r.metrics = append(r.metrics, Value{n, r.p.Sums[i] / float64(r.p.Rows)})
	}
	return r.metrics
}

// finish ends an epoch: validation, early stopping, history, checkpoint.
func (r *loop) finish(ctx context.Context, underflows int) error {
	if err := r.accompany(ctx); err != nil {
		return err
	}
	record := Record{Epoch: r.p.Epoch + 1, Metrics: append([]Value(nil), r.means()...), Rate: r.rate}
	if r.o.Validation != nil {
		r.prepareProof(record.Epoch)
		if err := r.l.validate(ctx, r.values); err != nil {
			return fmt.Errorf("epoch %d, validation: %w", record.Epoch, err)
		}
		r.grads.Zero()
		r.values[0] += r.grads.Penalty(r.o.Engine)
		for i, n := range r.names {
			if v := r.values[i]; math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("epoch %d: val_%s is %v", record.Epoch, n, v)
			}
			record.Metrics = append(record.Metrics, Value{"val_" + n, r.values[i]})
		}
	}
	parting, err := r.prove(ctx, &record)
	if err != nil {
		return err
	}
	record.Seconds = r.seconds()
	if e := r.o.EarlyStopping; e != nil {
		v, ok := record.Get(e.Monitor) // val_robust is not there after each epoch
		if record.Improved = ok && (r.p.BestEpoch == 0 || e.better(v, r.p.Best, r.l.reports())); record.Improved {
			r.p.Best, r.p.BestEpoch, r.p.Wait = v, record.Epoch, 0
			for i, p := range r.params {
				copy(r.best[i].Data, p.Value.Data)
			}
		} else if r.p.Wait++; ok && r.p.Wait >= e.Patience {
			r.p.Stopped = true
		}
	} else if r.keeps() {
		v, ok := record.Get(NameRobust)
		if record.Improved = ok && r.keep(v, r.l.(prover).proves()); record.Improved {
			r.p.BestEpoch = record.Epoch
			for i, p := range r.params {
				copy(r.best[i].Data, p.Value.Data)
			}
		}
	} else if v := r.judged(record); r.p.BestEpoch == 0 || v < r.p.Best { // for checkpoints/best alone
		r.p.Best, r.p.BestEpoch = v, record.Epoch
	}
	r.p.Epoch, r.p.Step, r.p.Rows = record.Epoch, 0, 0
	clear(r.p.Sums)
	r.p.History = append(r.p.History, record)
	event := Event{Stage: StageEpoch, Step: r.steps, Metrics: record.Metrics, Improved: record.Improved, Warning: parting}
	if underflows > 0 && r.companionOf() == nil { // its gradients are of logarithms
		if event.Warning != "" {
			event.Warning += "; "
		}
		event.Warning += fmt.Sprintf("the classifier gave probabilities of 0 on %d reconstructions in this epoch, which bounds the gradient: let the plugin answer logits", underflows)
	}
	event.Epoch = record.Epoch
	r.tell(event)
	return r.checkpoint()
}

// judged is what the epochs are compared by without early stopping: val_loss,
// or loss without validation.
func (r *loop) judged(record Record) float64 {
	if v, ok := record.Get("val_loss"); ok {
		return v
	}
	v, _ := record.Get("loss")
	return v
}

// tell fills in what all events share.
func (r *loop) tell(e Event) {
	if r.o.Events == nil {
		return
	}
	if e.Epoch == 0 {
		e.Epoch = r.p.Epoch + 1
	}
	e.Epochs, e.Steps, e.Rate, e.Seconds = r.o.Epochs, r.steps, r.rate, r.seconds()
	r.o.Events(e)
}

// checkpoint hands the state over, unless a param is no longer a number.
func (r *loop) checkpoint() error {
	if r.o.Save == nil {
		return nil
	}
	for _, p := range r.params {
		if s := r.o.Engine.SumSquares(p.Value.Data); math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("epoch %d, step %d: %s is no longer finite: lower the learning rate or set train.clip_norm", r.p.Epoch+1, r.p.Step, p.Name)
		}
	}
	state, err := r.state()
	if err != nil {
		return err
	}
	if err := r.o.Save(state); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}
