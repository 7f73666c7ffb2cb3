package evaluate_test

import (
	"fmt"
	"log"
	"math"
	"os"

	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Scores of clean rows and of attacks on them: one attack in four looks clean.
var clean, attacked = []float64{.1, .2, .3, .4}, []float64{.25, .5, .6, .7}

// How well scores tell attacks from clean rows: the area under the ROC curve is
// the share of pairs in which the attack has the higher score.
func ExampleJudge() {
	f := evaluate.Judge(clean, attacked)
	fmt.Printf("AUROC %.3f, average precision %.3f, false alarms at 95 %% detected %.2f\n", f.AUC, f.PRAUC, f.FPR95)
	// Output: AUROC 0.875, average precision 0.917, false alarms at 95 % detected 0.50
}

// The curve itself, a point for each distinct score.
func ExampleROC() {
	for _, p := range evaluate.ROC([]float64{1, 2}, []float64{2, 3}) {
		fmt.Printf("false alarms %.1f detected %.1f\n", p.FPR, p.TPR)
	}
	// Output:
	// false alarms 0.0 detected 0.0
	// false alarms 0.0 detected 0.5
	// false alarms 0.5 detected 1.0
	// false alarms 1.0 detected 1.0
}

// A rate without its interval says little: 9 of 10 and 900 of 1000.
func ExampleClopperPearson() {
	for _, n := range []int{10, 1000} {
		i := evaluate.ClopperPearson(n*9/10, n)
		fmt.Printf("%d of %d: [%.2f, %.2f]\n", n*9/10, n, i.Lo, i.Hi)
	}
	// Output:
	// 9 of 10: [0.55, 1.00]
	// 900 of 1000: [0.88, 0.92]
}

// The interval of an AUROC, by resampling clean and attacked rows.
func ExampleBootstrap() {
	i := evaluate.Bootstrap(clean, attacked, nil, 500, 1).AUC
	auc := evaluate.Judge(clean, attacked).AUC
	fmt.Println("the interval holds the AUROC:", i.Lo <= auc && auc <= i.Hi)
	// Output: the interval holds the AUROC: true
}

// Two detectors on the same rows: only those on which they differ count.
func ExampleMcNemar() {
	a := []bool{true, true, true, true, true, true, true, false}
	b := []bool{true, false, false, false, false, false, false, false}
	onlyA, onlyB, p := evaluate.McNemar(a, b)
	fmt.Printf("%d caught by A alone, %d by B alone, p = %.3f\n", onlyA, onlyB, p)
	// Output: 6 caught by A alone, 0 by B alone, p = 0.031
}

// Of several tests some are significant by chance: Holm's adjustment makes up
// for it.
func ExampleHolm() {
	fmt.Printf("%.3f\n", evaluate.Holm([]float64{.01, .04, .03}))
	// Output: [0.030 0.060 0.060]
}

// A class-balanced choice of rows, in order.
func ExampleBalanced() {
	labels := []int{0, 0, 0, 0, 0, 0, 1, 1, 2, 2}
	var perClass [3]int
	for _, row := range evaluate.Balanced(labels, 6, 1) {
		perClass[labels[row]]++
	}
	fmt.Println(perClass)
	// Output: [2 2 2]
}

// A figure that the data do not define is null in a report.
func ExampleNumber() {
	text, err := evaluate.Number(math.NaN()).MarshalJSON()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
	// Output: null
}

// A gate fails a build when the detector gets worse.
func ExampleReport_Check() {
	r := &evaluate.Report{Name: "digits", Attacks: []evaluate.AttackReport{
		{ID: "fgsm", Detection: evaluate.Detection{AUC: .97}},
		{ID: "pgd", Detection: evaluate.Detection{AUC: .91}},
	}}
	var gates []evaluate.Gate
	for _, text := range []string{"attacks.fgsm.auc<0.95", "attacks.pgd.auc<0.95"} {
		g, err := evaluate.ParseGate(text)
		if err != nil {
			log.Fatal(err)
		}
		gates = append(gates, g)
	}
	failures, err := r.Check(gates)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range failures {
		fmt.Println(f)
	}
	// Output: attacks.pgd.auc<0.95: attacks.pgd.auc is 0.91
}

// Two detectors that scored the very same rows, whose digests say so.
func ExampleCompare() {
	rows := evaluate.Digest(tensor.From([]float32{1, 2, 3, 4}, 4, 1))
	scores := func(s []float64) *evaluate.Scores {
		flagged := make([]bool, len(s))
		for i, v := range s {
			flagged[i] = v > .45
		}
		return &evaluate.Scores{
			Clean: evaluate.RowScores{Digest: rows, Score: clean, Flagged: make([]bool, 4)},
			Attacks: []evaluate.AttackScores{{
				ID: "fgsm", RowScores: evaluate.RowScores{Digest: rows, Score: s, Flagged: flagged},
				Success: []bool{true, true, true, true}, Corrected: flagged,
			}},
		}
	}
	comparisons, skipped, ok := evaluate.Compare(scores([]float64{.5, .6, .7, .8}), scores(attacked))
	if !ok {
		fmt.Fprintln(os.Stderr, "other clean rows")
		return
	}
	for _, c := range comparisons {
		fmt.Printf("%s: AUROC %.2f and %.2f, caught by the first alone: %d\n", c.ID, float64(c.AUCA), float64(c.AUCB), c.CaughtOnlyA)
	}
	fmt.Println("skipped:", len(skipped))
	// Output:
	// fgsm: AUROC 1.00 and 0.88, caught by the first alone: 1
	// skipped: 0
}
