package host

import (
	"context"
	"path/filepath"
	"reflect"

	"github.com/vaeguard/vaeguard/host/launch"
)

// StartClassifier starts the experiment's classifier. If the spec has a
// section classifier.train it is trained into dir, unless an earlier call left
// the finished result there. The caller must Close it.
func (e *Experiment) StartClassifier(ctx context.Context, dir string) (*launch.Classifier, error) {
	cl, _, err := e.startForTraining(ctx, dir)
	return cl, err
}

// UseClassifier makes the trainings of the experiment guard the classifier
// that StartClassifier trained into dir, as it is. Without a section
// classifier.train it changes nothing.
func (e *Experiment) UseClassifier(dir string) { e.frozen = dir }

// ShareRows takes over the rows that another experiment has read, if both
// have the same section data and the same folder for relative paths. Rows are
// never changed once read.
func (e *Experiment) ShareRows(from *Experiment) {
	a, errA := filepath.Abs(e.Spec.Abs("."))
	b, errB := filepath.Abs(from.Spec.Abs("."))
	if errA != nil || errB != nil || a != b || !reflect.DeepEqual(e.Spec.Data, from.Spec.Data) {
		return
	}
	for role, rows := range from.rows {
		e.rows[role] = rows
	}
	e.standard = from.standard
}
