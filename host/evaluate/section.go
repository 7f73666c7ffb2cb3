package evaluate

// Section is the spec's section evaluate: it bounds the cost of an evaluation.
type Section struct {
	Limit     int    `yaml:"limit" check:">= 0" doc:"class-balanced number of test rows to attack, and to score clean unless clean_limit says more; 0: all"`
	Clean     int    `yaml:"clean_limit" check:">= -1" doc:"class-balanced number of clean test rows to score, at least those that are attacked; 0: only those, -1: all"`
	Adaptive  int    `yaml:"adaptive_limit" check:">= 0" doc:"the same for adaptive attacks; 0: 200"`
	CurveRows int    `yaml:"curve_rows" check:">= -1" doc:"rows of the security curves; 0: 200, -1: no curves"`
	Certified int    `yaml:"certified_rows" check:">= -1" doc:"class-balanced number of clean rows to certify, where the detector flags by votes; 0: 100, -1: none"`
	Bootstrap int    `yaml:"bootstrap" check:">= 0" doc:"resamples for confidence intervals; 0: 1000"`
	Transfer  string `yaml:"transfer_from" format:"path" doc:"detector of another seed, on which transfer attacks are made"`
}
