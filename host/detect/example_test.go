package detect_test

import (
	"context"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/host/detect"
)

// Without a threshold nothing can be flagged; scores are there all the same.
func ExampleDetector_Scores() {
	ctx := context.Background()
	d := newDetector()
	defer d.Close()
	s, err := d.Scores(ctx, uniform(5, 1))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(s), "scores")
	_, err = d.Detect(ctx, uniform(5, 1), detect.Include{})
	fmt.Println(err)
	// Output:
	// 5 scores
	// the detector has no threshold: calibrate it first
}

// The rank of the threshold among n clean scores for an expected rate of false
// alarms of 5 %.
func ExampleConformalRank() {
	for _, n := range []int{19, 100, 999} {
		k, err := detect.ConformalRank(n, .05)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d of %d\n", k, n)
	}
	_, err := detect.ConformalRank(18, .05)
	fmt.Println(err)
	// Output:
	// 19 of 19
	// 96 of 100
	// 950 of 999
	// fpr 0.05 needs at least 19 calibration scores, got 18
}

// A rate that holds not on average but with 95 % probability over calibration
// sets takes a higher rank, and more rows.
func ExamplePACRank() {
	k, err := detect.PACRank(1000, .05, .05)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(k, "of 1000")
	_, err = detect.PACRank(50, .05, .05)
	fmt.Println(err)
	// Output:
	// 962 of 1000
	// fpr 0.05 with confidence 0.95 needs at least 59 calibration scores, got 50
}

// The rules of a threshold on the same 99 scores.
func ExampleNewThreshold() {
	scores := make([]float64, 99)
	for i := range scores {
		scores[i] = float64(i + 1)
	}
	number := func(v float64) *float64 { return &v }
	for _, rule := range []detect.Rule{
		{FPR: number(.05)}, {FPR: number(.05), Confidence: number(.95)}, {Percentile: number(95)}, {Value: number(7)},
	} {
		t, err := detect.NewThreshold(rule, scores)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%.1f rank %d\n", t.Value, t.Rank)
	}
	_, err := detect.NewThreshold(detect.Rule{FPR: number(.001)}, scores)
	fmt.Println(err)
	// Output:
	// 95.0 rank 95
	// 98.0 rank 98
	// 94.1 rank 0
	// 7.0 rank 0
	// threshold: fpr 0.001 needs at least 999 calibration scores, got 99
}

// How rare a score is among clean ones.
func ExamplePValue() {
	clean := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}
	fmt.Println(detect.PValue(clean, 0), detect.PValue(clean, 8.5), detect.PValue(clean, 100))
	// Output: 1 0.2 0.1
}

// Two scores on different scales become one number. An input that is strange by
// either stands out.
func ExampleFusion_Fuse() {
	clean := [][]float64{make([]float64, 99), make([]float64, 99)}
	for i := range 99 {
		clean[0][i], clean[1][i] = float64(i)/1000, float64(i)
	}
	f, err := detect.NewFusion(detect.Fisher, clean)
	if err != nil {
		log.Fatal(err)
	}
	fused := make([]float64, 3)
	f.Fuse(fused, [][]float64{{.045, .2, .2}, {45, 45, 200}})
	fmt.Println("usual < strange by one < strange by both:", fused[0] < fused[1] && fused[1] < fused[2])
	// Output: usual < strange by one < strange by both: true
}
