package remote

import (
	"testing"

	"google.golang.org/protobuf/proto"

	classifier "github.com/vaeguard/vaeguard/sdk/proto"
)

// FuzzInfo describes whatever a plugin may claim.
func FuzzInfo(f *testing.F) {
	b, err := proto.Marshal(&classifier.DescribeResponse{Name: "a", InputShape: []int64{2, 3}, Lo: []float32{0}, Hi: []float32{1}, NumClasses: 2,
		Hidden: []*classifier.HiddenLayer{{Name: "h", Shape: []int64{4}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		var m classifier.DescribeResponse
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		if i, err := info(&m); err == nil && i.Validate() == nil {
			_, _ = i.OutputShape("hidden/h")
		}
	})
}
