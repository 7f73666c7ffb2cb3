package train

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func TestReadState(t *testing.T) {
	for text, want := range map[string]string{
		`{"version": 1, "epoch": 2}`: "",
		`{"version": 3}`:             "checkpoint has version 3, want 1",
		`{"version": 1`:              "unexpected end of JSON input",
		``:                           "unexpected end of JSON input",
		`{"version": "1"}`:           "cannot unmarshal",
	} {
		s, err := ReadState([]byte(text), nil)
		if want == "" {
			if err != nil || s.Progress.Epoch != 2 {
				t.Errorf("%s: %v, want epoch 2", text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q in it", text, err, want)
		}
	}
}

// FuzzReadState: whatever a checkpoint says, a training takes it over or
// refuses it.
func FuzzReadState(f *testing.F) {
	f.Add([]byte(`{"version":1,"fingerprint":"","epoch":1,"step":2,"sums":[1,2],"rows":3,"history":[{"epoch":1,"metrics":[{"name":"loss","value":0.5}]}]}`))
	f.Add([]byte(`{"version":1,"epoch":-1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ReadState(text, map[string]*tensor.Tensor{"params/x": tensor.New(2)})
		if err != nil {
			return
		}
		again, err := s.MarshalProgress()
		if err != nil {
			t.Fatalf("a state that was read cannot be written: %v", err)
		}
		if _, err := ReadState(again, s.Tensors); err != nil {
			t.Fatalf("a state that was written cannot be read: %v", err)
		}
		s.IsBest()
		s.Params()
	})
}
