package host

import (
	"cmp"
	"fmt"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/kernel"
)

// precisions are the record of what a detector is trained and scores in; nil: float32
// throughout.
func (s *Spec) precisions(trained bool) *artifact.Precision {
	p := &artifact.Precision{Scoring: string(cmp.Or(s.Detector.Precision, kernel.Float32))}
	if trained && s.Train != nil {
		p.Training = string(cmp.Or(s.Train.Precision, kernel.Float32))
	}
	if p.Scoring == string(kernel.Float32) && (p.Training == "" || p.Training == string(kernel.Float32)) {
		return nil
	}
	return p
}

// emulated says that the machine has no instructions for what a key of the spec asks
// for; "": it has, or is not asked.
func emulated(key string, k *kernel.Engine) string {
	if k.Native() {
		return ""
	}
	bits := "the same bits"
	if k.Level() == kernel.Generic { // which has its own in float32 too
		bits = "other last bits than on x86"
	}
	return fmt.Sprintf("%s is %s, and this machine has no AVX512_BF16 (level %s): results have %s, and take longer than with float32", key, k.Precision(), k.Level(), bits)
}

// warnEmulated warns of scoring that the machine has no instructions for.
func (e *Experiment) warnEmulated(p kernel.Precision) error {
	if p != kernel.BF16 {
		return nil
	}
	k, err := kernel.New(kernel.Options{Threads: 1, Precision: p})
	if err != nil {
		return err
	}
	defer k.Close()
	if message := emulated("detector.precision", k); message != "" {
		e.o.logger().Warn(message)
	}
	return nil
}
