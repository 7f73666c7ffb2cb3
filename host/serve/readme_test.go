package serve_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/serve"
)

// TestFiles: the files of servers that the README shows, and that ships with the
// manifests, are sound; what the README points to is there.
func TestFiles(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := os.ReadFile("deploy/kubernetes/base/server.yaml")
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(shipped)}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		if strings.Contains(block[1], "kind: Server") { // others are Kubernetes' own
			texts = append(texts, block[1])
		}
	}
	if len(texts) < 2 {
		t.Fatal("the README shows no file")
	}
	for _, text := range texts {
		file := filepath.Join(t.TempDir(), "server.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := serve.Load(file, nil, components()); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(readme), -1) {
		if _, err := os.Stat(link[1]); err != nil {
			t.Error(err)
		}
	}
	for _, path := range regexp.MustCompile(`host/serve/deploy/[a-z/._-]+`).FindAllString(string(readme), -1) {
		if _, err := os.Stat(filepath.Join("..", "..", strings.TrimRight(path, "."))); err != nil {
			t.Error(err)
		}
	}
}
