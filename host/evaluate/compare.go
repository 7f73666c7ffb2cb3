package evaluate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Scores are scores.json: what a detector answered for every row, so that two
// detectors can be compared on the same rows. Digests say which rows.
type Scores struct {
	Clean   RowScores      `json:"clean"`
	Attacks []AttackScores `json:"attacks"`
}

// RowScores are the scores of one set of rows.
type RowScores struct {
	Digest  string   `json:"digest"` // of the rows' bytes, sha256
	Score   RowScore `json:"score"`
	Flagged []bool   `json:"flagged"`
}

// RowScore are scores by row; higher is stranger. JSON has no infinity: the +Inf of a
// row whose reconstruction is not finite is null there, and null is read as +Inf.
type RowScore []float64

// MarshalJSON implements json.Marshaler.
func (s RowScore) MarshalJSON() ([]byte, error) {
	out := make([]Number, len(s))
	for i, v := range s {
		out[i] = Number(v)
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *RowScore) UnmarshalJSON(b []byte) error {
	var in []*float64
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*s = make(RowScore, len(in))
	for i, v := range in {
		if (*s)[i] = math.Inf(1); v != nil {
			(*s)[i] = *v
		}
	}
	return nil
}

// AttackScores are those of one attack on the classifier alone.
type AttackScores struct {
	ID string `json:"id"`
	RowScores
	Rows      []int  `json:"rows,omitempty"` // the clean row that each was made from; nil, as older releases wrote: not known
	Success   []bool `json:"success"`        // right before, wrong after
	Corrected []bool `json:"corrected"`      // the corrected answer is right
}

// Scores are the scores of clean rows and of attacks on the classifier
// alone, which are the same for every detector of it.
func (d *Details) Scores() *Scores {
	s := &Scores{Clean: RowScores{Digest: digest(d.X), Score: d.Clean}, Attacks: []AttackScores{}}
	if d.CleanResult != nil { // votes that end early flag fewer rows than their scores
		s.Clean.Flagged = append(s.Clean.Flagged, d.CleanResult.Adversarial...)
	} else {
		for _, v := range d.Clean {
			s.Clean.Flagged = append(s.Clean.Flagged, v > d.Threshold)
		}
	}
	for _, a := range d.Attacks {
		if a.Adaptive {
			continue
		}
		t := AttackScores{ID: a.ID, RowScores: RowScores{digest(a.Adversarial.XAdv), a.Result.Score, a.Result.Adversarial}, Rows: a.Rows, Success: a.Success}
		for k, c := range a.Result.Corrected {
			t.Corrected = append(t.Corrected, c == a.Adversarial.Y[k])
		}
		s.Attacks = append(s.Attacks, t)
	}
	return s
}

// UnmarshalJSON implements json.Unmarshaler: columns of unequal lengths, and rows that are not
// there, are errors.
func (s *Scores) UnmarshalJSON(b []byte) error {
	type plain Scores
	if err := json.Unmarshal(b, (*plain)(s)); err != nil {
		return err
	}
	n := len(s.Clean.Score)
	if len(s.Clean.Flagged) != n {
		return fmt.Errorf("clean: %d scores and %d verdicts", n, len(s.Clean.Flagged))
	}
	for _, a := range s.Attacks {
		m := len(a.Score)
		for _, k := range []int{len(a.Flagged), len(a.Success), len(a.Corrected)} {
			if k != m {
				return fmt.Errorf("attack %s: a column of %d rows beside one of %d", a.ID, k, m)
			}
		}
		if len(a.Rows) != m && a.Rows != nil {
			return fmt.Errorf("attack %s: a column of %d rows beside one of %d", a.ID, len(a.Rows), m)
		}
		for k, i := range a.Rows {
			if i < 0 || i >= n {
				return fmt.Errorf("attack %s: rows[%d] is %d, of %d clean rows", a.ID, k, i, n)
			}
		}
	}
	return nil
}

// WriteJSON writes scores.json.
func (s *Scores) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(s) }

// Digest identifies rows in scores.json: sha256 over their float32 bytes,
// little-endian.
func Digest(x *tensor.Tensor) string { return digest(x) }

func digest(x *tensor.Tensor) string {
	h := sha256.New()
	var b [4]byte
	for _, v := range x.Data {
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
		h.Write(b[:])
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Comparison is detector A against detector B on one attack's rows.
type Comparison struct {
	ID            string  `json:"id"`
	NSuccess      int     `json:"n_success"`
	AUCA          Number  `json:"auc_a"`
	AUCB          Number  `json:"auc_b"`
	AUCDifference Number  `json:"auc_difference"` // A − B
	DeLongP       Number  `json:"delong_p"`
	DeLongHolm    Number  `json:"delong_p_holm"` // over the attacks
	CaughtOnlyA   int     `json:"caught_only_a"` // successful attacks that A detects and B does not
	CaughtOnlyB   int     `json:"caught_only_b"`
	McNemarP      Number  `json:"mcnemar_p"`
	McNemarHolm   Number  `json:"mcnemar_p_holm"`
	CorrectedA    float64 `json:"accuracy_corrected_a"`
	CorrectedB    float64 `json:"accuracy_corrected_b"`
}

// Compare tests two detectors on the attacks that both have on the very same
// rows: DeLong's test of the AUCs, where an attacked row and the clean one that it was made
// from are one cluster, McNemar's of the successful attacks
// detected at each one's threshold, both adjusted by Holm over the attacks. skipped are
// the attacks whose rows differ; ok is false if the clean rows do.
func Compare(a, b *Scores) (out []Comparison, skipped []string, ok bool) {
	if a.Clean.Digest != b.Clean.Digest {
		return nil, nil, false
	}
	for _, s := range a.Attacks {
		k := slices.IndexFunc(b.Attacks, func(t AttackScores) bool { return t.ID == s.ID })
		if k < 0 {
			continue
		}
		t := b.Attacks[k]
		if s.Digest != t.Digest || !slices.Equal(s.Success, t.Success) {
			skipped = append(skipped, s.ID)
			continue
		}
		out = append(out, compare(a, b, s, t))
	}
	delong, mcnemar := make([]float64, len(out)), make([]float64, len(out))
	for i, c := range out {
		delong[i], mcnemar[i] = float64(c.DeLongP), float64(c.McNemarP)
	}
	delong, mcnemar = Holm(delong), Holm(mcnemar)
	for i := range out {
		out[i].DeLongHolm, out[i].McNemarHolm = Number(delong[i]), Number(mcnemar[i])
	}
	return out, skipped, true
}

func compare(a, b *Scores, s, t AttackScores) Comparison {
	var posA, posB []float64
	var detectedA, detectedB []bool
	rows, source := s.Rows, []int(nil)
	if rows == nil {
		rows = t.Rows
	}
	for k, won := range s.Success {
		if won {
			posA, posB = append(posA, s.Score[k]), append(posB, t.Score[k])
			detectedA, detectedB = append(detectedA, s.Flagged[k]), append(detectedB, t.Flagged[k])
			if rows != nil {
				source = append(source, rows[k])
			}
		}
	}
	c := Comparison{
		ID: s.ID, NSuccess: len(posA), AUCA: Number(Judge(a.Clean.Score, posA).AUC), AUCB: Number(Judge(b.Clean.Score, posB).AUC),
		CorrectedA: share(count(s.Corrected), len(s.Corrected)), CorrectedB: share(count(t.Corrected), len(t.Corrected)),
	}
	difference, p := DeLong(a.Clean.Score, posA, b.Clean.Score, posB, source)
	c.AUCDifference, c.DeLongP = Number(difference), Number(p)
	c.CaughtOnlyA, c.CaughtOnlyB, p = McNemar(detectedA, detectedB)
	c.McNemarP = Number(p)
	return c
}
