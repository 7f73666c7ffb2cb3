package caller_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/caller"
	"github.com/vaeguard/vaeguard/builtin/classifiers/caller/callertest"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func fake() *sdktest.Fake { return &sdktest.Fake{Shape: tensor.Shape{6}, Classes: 3, Seed: 5} }

// withoutTape has gradients, and no Forward.
type withoutTape struct{ sdk.Differentiable }

// withoutGradient only predicts.
type withoutGradient struct{ sdk.Classifier }

// TestConformance holds lent models to the contract of any other.
func TestConformance(t *testing.T) {
	for name, c := range map[string]sdk.Classifier{
		"tape": fake(), "gradient": withoutTape{fake()}, "predict": withoutGradient{fake()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(caller.Variable, callertest.Lend(t, c))
			sdktest.Run(t, caller.New(), sdktest.Options{Config: sdk.Config{JSON: []byte("{}")}})
		})
	}
}

// TestSameNumbers: the socket changes no bit.
func TestSameNumbers(t *testing.T) {
	t.Setenv(caller.Variable, callertest.Lend(t, fake()))
	b := configured(t)
	x := tensor.New(5, 6)
	for i := range x.Data {
		x.Data[i] = float32(i) / 30
	}
	want, err := fake().Predict(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // the second call has the connection of the first
		got, err := b.Predict(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got.Data {
			if v != want.Data[i] {
				t.Fatalf("output %d is %v, want %v", i, v, want.Data[i])
			}
		}
	}
}

func configured(t *testing.T) *caller.Classifier {
	t.Helper()
	b, ok := caller.New().(*caller.Classifier)
	if !ok {
		t.Fatal("New gives something else")
	}
	if err := b.Configure(t.Context(), sdk.Config{JSON: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNobody holds what is told where no lender can be reached.
func TestNobody(t *testing.T) {
	key := strings.Repeat("ab", 32)
	for _, c := range []struct{ name, where, want string }{
		{"not started by a lender", "", "vaeguard.Detector(path, model=…)"},
		{"no form", "unix " + key, "not of the form"},
		{"network", "udp " + key + " x", "not of the form"},
		{"short key", "unix abcd /x", "no key of 32 bytes"},
		{"nobody there", "unix " + key + " " + filepath.Join(t.TempDir(), "s"), "does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(caller.Variable, c.where)
			b := caller.New().(sdk.Configurable)
			err := b.Configure(t.Context(), sdk.Config{JSON: []byte("{}")})
			if err == nil || !strings.Contains(err.Error(), c.want) || sdk.KindOf(err) != sdk.FailedPrecondition {
				t.Errorf("error %v (%v), want %q", err, sdk.KindOf(err), c.want)
			}
		})
	}
}

// TestStranger: one who listens where the lender was, and does not know the key, gets
// no row and is not believed.
func TestStranger(t *testing.T) {
	real := strings.Fields(callertest.Lend(t, fake()))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	heard := make(chan []byte, 1)
	go func() {
		s, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.ReadFull(s, make([]byte, len("vaeguard caller 1\n")+32))
		_, _ = s.Write(make([]byte, 64)) // a proof of nothing
		rest, _ := io.ReadAll(s)
		heard <- rest
	}()
	t.Setenv(caller.Variable, "tcp "+real[1]+" "+l.Addr().String())
	err = caller.New().(sdk.Configurable).Configure(t.Context(), sdk.Config{JSON: []byte("{}")})
	if err == nil || !strings.Contains(err.Error(), "does not know the key") {
		t.Errorf("error %v", err)
	}
	if rest := <-heard; len(rest) > 0 {
		t.Errorf("the stranger heard %d bytes more: %q", len(rest), rest)
	}
	t.Setenv(caller.Variable, "unix "+strings.Repeat("00", 32)+" "+real[2])
	err = caller.New().(sdk.Configurable).Configure(t.Context(), sdk.Config{JSON: []byte("{}")})
	if err == nil || !strings.Contains(err.Error(), "does not know the key") {
		t.Errorf("with another key: error %v", err)
	}
}

// slow answers when it is let.
type slow struct {
	sdk.Classifier
	asked chan struct{}
	let   chan error
}

func (s slow) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	s.asked <- struct{}{}
	if err := <-s.let; err != nil {
		return nil, err
	}
	return s.Classifier.Predict(ctx, x)
}

// TestEnds holds calls that are given up, that fail, and what comes after them.
func TestEnds(t *testing.T) {
	s := slow{fake(), make(chan struct{}, 1), make(chan error, 1)}
	t.Setenv(caller.Variable, callertest.Lend(t, s))
	b := configured(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-s.asked
		cancel()
	}()
	if _, err := b.Predict(ctx, tensor.New(1, 6)); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that is given up: %v", err)
	}
	s.let <- nil // its answer finds nobody
	for _, c := range []struct {
		err  error
		kind sdk.Kind
	}{
		{sdk.Errorf(sdk.ResourceExhausted, "too many rows"), sdk.ResourceExhausted},
		{sdk.Errorf(sdk.InvalidArgument, "no such rows"), sdk.InvalidArgument},
		{errors.New("a bug"), sdk.Internal},
	} {
		s.let <- c.err
		if _, err := b.Predict(t.Context(), tensor.New(1, 6)); err == nil || sdk.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.err.Error()) {
			t.Errorf("%v: error %v of kind %v", c.err, err, sdk.KindOf(err))
		}
		<-s.asked
	}
	s.let <- nil
	if _, err := b.Predict(t.Context(), tensor.New(1, 6)); err != nil {
		t.Errorf("after errors: %v", err)
	}
}

// TestFrames holds what answers may claim.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		name, want string
		frame      []byte
	}{
		{"too long", "asked for", binary.LittleEndian.AppendUint32([]byte{'M'}, 1<<31)},
		{"a long error", "an error of", binary.LittleEndian.AppendUint32([]byte{'X'}, 1<<30)},
		{"another kind", "a frame of kind", binary.LittleEndian.AppendUint32([]byte{'Z'}, 0)},
		{"no message", "no message", append(binary.LittleEndian.AppendUint32([]byte{'M'}, 2), 0xff, 0xff)},
		{"cut", "does not answer", []byte{'M', 9}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(caller.Variable, callertest.Answering(t, c.frame))
			err := caller.New().(sdk.Configurable).Configure(t.Context(), sdk.Config{JSON: []byte("{}")})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}
