package quickstart

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
	var commands []string
	for i, block := range strings.Split(string(page), "```") {
		if text, ok := strings.CutPrefix(block, "sh\n"); ok && i%2 == 1 {
			commands = append(commands, strings.Split(strings.TrimSpace(text), "\n")...)
		}
	}
	if len(commands) != 8 {
		t.Fatalf("%d commands on the page, want 8", len(commands))
	}
	dir := t.TempDir()
	script := new(bytes.Buffer)
	for _, c := range commands {
		if line, file, ok := strings.Cut(c, " > "); ok {
			script.WriteString("exec " + line + "\ncp stdout " + file + "\n")
			continue
		}
		script.WriteString("exec " + c + "\n")
	}
	script.WriteString(`exec vaeguard lint mine.yaml
exists guard/meta.json report/report.html report/report.json
grep '^index,is_adversarial,instance_score,p_value,predicted,reconstructed,corrected' verdicts.csv
grep '^268,[01],' verdicts.csv
! grep '^269,' verdicts.csv
`)
	if err := os.WriteFile(filepath.Join(dir, "readme.txtar"), script.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	clitest.Run(t, dir, []string{"guard.yaml"}, nil)
}
