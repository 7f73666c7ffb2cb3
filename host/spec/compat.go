package spec

// applyCompat fills in what compat is short for, where the file does not say
// otherwise itself.
func (s *Spec) applyCompat() {
	if s.Compat != "alibi_detect_0_2_0" {
		return
	}
	if s.VAE != nil && !s.Given("vae.log_var") {
		s.VAE.LogVar = "softplus"
	}
	if s.Train != nil && !s.Given("train.elbo_reduction") {
		s.Train.ELBOReduction = "sum"
	}
	if !s.Given("detector.probability_clip") {
		s.Detector.ProbabilityClip = 1e-7
	}
}
