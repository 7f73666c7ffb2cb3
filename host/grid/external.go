package grid

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// externalCell is a detector that another program ran on the same classifier
// and the same adversarial rows.
func (b *Bench) externalCell(c *Cell, d *DetectorSpec) (*Cell, error) {
	folder := strings.NewReplacer("{set}", c.Set, "{seed}", strconv.FormatUint(c.Seed, 10)).Replace(b.Grid.Abs(d.External))
	cell := &Cell{Kind: Detector, Set: c.Set, Seed: c.Seed, Detector: d.Name, Inputs: map[string]string{}, needs: []*Cell{c}, set: c.set, guard: d, folder: folder}
	cell.says("clean")
	return cell.seal(), nil
}

// says takes the other program's file of some rows into the key.
func (c *Cell) says(name string) {
	sum, err := digestFile(filepath.Join(c.folder, name+".npz"))
	c.absent = c.absent || err != nil
	c.Inputs["external"] = sum
}

// makeExternal takes over what another program said, after a check that it
// was asked about the very same rows.
func (b *Bench) makeExternal(c *Cell, r *record) error {
	switch c.Kind {
	case Detector:
		return nil
	case Clean:
		rows := attack.All(c.set.rows.X.N())
		said, err := readExternal(filepath.Join(c.folder, "clean.npz"), c.set.rows.X, c.set.rows.Labels)
		if err != nil {
			return err
		}
		return writeArrays(filepath.Join(b.dir(c), scoresFile), resultArrays(rows, c.set.rows.Labels, said))
	}
	adv, err := b.adversarial(c.need(Arrays))
	if err != nil {
		return err
	}
	said, err := readExternal(filepath.Join(c.folder, c.Attack+".npz"), adv.XAdv, adv.Y)
	if err != nil {
		return err
	}
	d := &evaluate.AttackDetails{Rows: c.set.pick(c.attack.Limit), Adversarial: adv, Result: said}
	for k, y := range adv.Y {
		d.Success = append(d.Success, adv.Predicted[k] == y && adv.PredictedAdv[k] != y)
	}
	r.about(adv)
	return writeArrays(filepath.Join(b.dir(c), scoresFile), attackedArrays(d))
}

// readExternal reads score, flagged, predicted, reconstructed and corrected
// of the rows x; digest and y in the file must be theirs.
func readExternal(path string, x *tensor.Tensor, y []int) (*detect.Result, error) {
	list, err := dataset.ReadNPZ(path)
	if err != nil {
		return nil, err
	}
	r := &reader{from: map[string]dataset.Array{}}
	for _, a := range list {
		r.from[a.Name] = a
	}
	out := &detect.Result{
		Score: get[float64](r, "score"), Adversarial: get[bool](r, "flagged"),
		Predicted: ints(r, "predicted"), Reconstructed: ints(r, "reconstructed"), Corrected: ints(r, "corrected"),
	}
	labels, sum := ints(r, "y"), get[string](r, "digest")
	if r.err != nil {
		return nil, fmt.Errorf("%s: %w", path, r.err)
	}
	for _, n := range []int{len(out.Score), len(out.Adversarial), len(out.Predicted), len(out.Reconstructed), len(out.Corrected)} {
		if n != x.N() {
			return nil, fmt.Errorf("%s: %d answers for %d rows", path, n, x.N())
		}
	}
	if !slices.Equal(labels, y) || len(sum) != 1 || sum[0] != evaluate.Digest(x) {
		return nil, fmt.Errorf("%s is about other rows than the grid's", path)
	}
	return out, nil
}
