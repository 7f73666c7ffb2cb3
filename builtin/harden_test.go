package builtin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/specs"
)

// TestHardeningIsMeasured: the robust share of a shipped spec that is hardened is told with
// each epoch, by the detector's own scores, chooses the epoch that is kept, and is in
// what is saved and in the guard's health. Guards that are hardened stand more.
func TestHardeningIsMeasured(t *testing.T) {
	text, err := specs.FS.ReadFile("digits-mlp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "digits.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	guard := func(weight string) *health.Hardened {
		var shares []float64
		e, err := host.Load(file, []string{"train.early_stopping=null", "train.epochs=16", "detector.score=[margin, reverse_kl]", "detector.fusion=cauchy",
			"train.optimizer.adam.learning_rate=0.005", "train.harden={norm: linf, eps: 0.1, weight: " + weight + ", robust: {rows: 120}}"},
			builtin.Components(), host.Options{Progress: func(p host.Progress) {
				if v, ok := p.Metrics[train.NameRobust]; ok && p.Ended && p.Stage == host.StageDetector {
					shares = append(shares, v)
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = e.Close() }()
		d, err := e.TrainTo(t.Context(), host.TrainOptions{Out: filepath.Join(t.TempDir(), "guard")})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.Close() }()
		h := d.Saved.Meta.Hardened
		if h == nil || h.Rows != 120 || h.Steps != 10 || len(shares) != 16 || h.Last != shares[15] || h.Share != shares[h.Epoch-1] || h.Best != shares[h.BestEpoch-1] {
			t.Fatalf("%+v of shares %v", h, shares)
		}
		if f, ok := d.Saved.Meta.Health.Finding(health.Hardening); !ok || !strings.Contains(f.Message, "of 120 validation rows") {
			t.Errorf("health says %+v", f)
		}
		return h
	}
	hard, plain := guard("0.5"), guard("0")
	if !(hard.Share > plain.Share+.1) {
		t.Errorf("%v of the rows stand with hardening, %v where the attacked rows weigh nothing", hard.Share, plain.Share)
	}
}
