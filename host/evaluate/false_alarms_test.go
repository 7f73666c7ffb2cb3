package evaluate_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// alarming is adaptive that wants correctly classified rows flagged.
type alarming struct{ adaptive }

func (alarming) WantsFlag() bool { return true }

// What a false-alarm attack reaches has a field that says so, with an interval;
// of other attacks it is null, and so is a share of no gradients.
func TestFalseAlarms(t *testing.T) {
	o := options()
	o.Attacks = []evaluate.NamedAttack{{"joint", adaptive{step{10, .15}}}, {"alarm", alarming{adaptive{step{10, .01}}}}, {"still", step{0, .15}}}
	r, d := run(t, o)
	flagged := 0
	for k, s := range d.Attacks[1].Result.Adversarial {
		if s && d.Attacks[1].Result.Predicted[k] == d.Attacks[1].Adversarial.Y[k] {
			flagged++
		}
	}
	joint, alarm := r.Adaptive[0], r.Adaptive[1]
	if joint.FalseAlarms != nil || alarm.FalseAlarms == nil || float64(*alarm.FalseAlarms) != float64(flagged)/50 {
		t.Fatalf("false alarms %v and %v, want none and %d of 50", joint.FalseAlarms, alarm.FalseAlarms, flagged)
	}
	if ci := alarm.CI95["false_alarms"]; !(ci.Lo <= float64(*alarm.FalseAlarms) && float64(*alarm.FalseAlarms) <= ci.Hi) {
		t.Errorf("interval %v", ci)
	}
	if _, ok := joint.CI95["false_alarms"]; ok {
		t.Error("an attack that aims at something else has an interval")
	}
	for _, c := range r.Curves {
		for _, p := range c.Points {
			if (p.FalseAlarms != nil) != c.FalseAlarm {
				t.Errorf("curve of %s: false alarms %v", c.ID, p.FalseAlarms)
			}
		}
	}
	text, err := json.Marshal(r.Attacks[0])
	if err != nil || !strings.Contains(string(text), `"zero_gradients":null`) {
		t.Errorf("an attack without gradients: %v, %s", err, text)
	}
}
