package table

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m, builtin.Components(), nil) }

// TestReadme runs the page's commands as they stand there.
func TestReadme(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(page), "```sh\n")
	if !ok {
		t.Fatal("no commands on the page")
	}
	block, _, _ = strings.Cut(block, "```")
	script := new(bytes.Buffer)
	for _, c := range strings.Split(strings.TrimSpace(block), "\n") {
		script.WriteString("exec " + c + "\n")
	}
	script.WriteString(`grep '^index,id,is_adversarial,instance_score,p_value,predicted,predicted_label,.*,error,officer$' verdicts.csv
grep '^9,L0490,[01],' verdicts.csv
npz adv.npz x x_adv y predicted predicted_adv success norm queries meta
`)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "readme.txtar"), script.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	clitest.Run(t, dir, []string{"guard.yaml", "train.csv", "calibration.csv", "test.csv", "new.csv"}, nil)
}
