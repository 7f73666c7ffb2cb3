package losses_test

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/losses"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/train"
)

// TestFromSpec decodes losses as a spec writes them.
func TestFromSpec(t *testing.T) {
	type section struct {
		Loss train.Loss `yaml:"loss"`
	}
	for _, c := range []struct {
		text string
		want losses.Adversarial
		err  string
	}{
		{`{"loss": "adversarial"}`, losses.Adversarial{WModel: 1, CovELBO: losses.Covariance{Form: "sim", Value: .05}}, ""},
		{`{"loss": {"adversarial": {"w_model": 0.5, "w_recon": 2, "cov_elbo": {"cov_full": null}}}}`,
			losses.Adversarial{WModel: .5, WRecon: 2, CovELBO: losses.Covariance{Form: "cov_full"}}, ""},
		{`{"loss": {"adversarial": {"w_recon": 1, "cov_elbo": {"cov_diag": {"floor": 0.01}}}}}`,
			losses.Adversarial{WModel: 1, WRecon: 1, CovELBO: losses.Covariance{Form: "cov_diag", Value: .01}}, ""},
		{`{"loss": {"adversarial": {"cov_elbo": {"cov_dia": null}}}}`, losses.Adversarial{}, `unknown form "cov_dia"`},
		{`{"loss": {"adversarial": {"w_model": 0}}}`, losses.Adversarial{}, "nothing to learn from"},
		{`{"loss": {"adversarial": {"w_modle": 0}}}`, losses.Adversarial{}, "w_model"},
		{`{"loss": "msee"}`, losses.Adversarial{}, "mse"},
	} {
		var s section
		err := spec.DecodeJSON([]byte(c.text), &s, losses.Table())
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error is %v, want %q in it", c.text, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got, ok := s.Loss.(*losses.Adversarial); !ok || *got != c.want {
			t.Errorf("%s gives %+v, want %+v", c.text, s.Loss, c.want)
		}
	}
}
