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
	shipped, err := filepath.Glob("deploy/kubernetes/*/server.yaml")
	if err != nil || len(shipped) < 3 {
		t.Fatal(shipped, err)
	}
	var texts []string
	for _, file := range shipped {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
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

// TestSteps: what the README's commands read is there, or made by commands and files that the README shows, and what they ask
// of a cluster is in a manifest.
func TestSteps(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	manifests := ""
	err = filepath.WalkDir("deploy/kubernetes", func(path string, d os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".yaml" {
			b, err := os.ReadFile(path)
			manifests += string(b) + "\n"
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, name := range regexp.MustCompile("```yaml\n# (\\S+)\n").FindAllStringSubmatch(string(text), -1) {
		made[name[1]] = true
	}
	read, named := 0, 0
	for _, block := range regexp.MustCompile("(?s)```(?:sh|console)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		heredoc := false
		for line := range strings.Lines(block[1]) {
			line, _, _ = strings.Cut(line, "   #")
			if heredoc {
				heredoc = strings.TrimSpace(line) != "EOF"
				continue
			}
			heredoc = strings.Contains(line, "<<'EOF'")
			for _, m := range regexp.MustCompile(`(> ?|--out )([\w./-]+\.(?:yaml|json|onnx|vg|npy))`).FindAllStringSubmatch(line, -1) {
				made[m[2]] = true
			}
			for _, m := range regexp.MustCompile(`(?:^|[\s=@])([\w./-]+\.(?:yaml|json|onnx|vg|npy|service))\b`).FindAllStringSubmatch(line, -1) {
				read++
				if _, err := os.Stat(filepath.Join("..", "..", m[1])); err != nil && !made[m[1]] && !strings.HasPrefix(m[1], "/etc/") {
					t.Errorf("nothing makes %s: %s", m[1], line)
				}
			}
			for _, m := range regexp.MustCompile(`\b(?:pod|deployment|service|inferenceservice)/([a-z-]+)`).FindAllStringSubmatch(line, -1) {
				named++
				if !strings.Contains(manifests, "name: "+m[1]+"\n") {
					t.Errorf("no manifest has a %s: %s", m[0], line)
				}
			}
		}
	}
	if read < 10 || named < 5 {
		t.Errorf("the commands read %d files, and name %d objects", read, named)
	}
}
