package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	noticePage = "../../../NOTICE"
	standard   = "the Go standard library and runtime"
	// goLicence is a module under the text of the standard library's own
	// licence, which distributions of Go do not all bring along.
	goLicence = "golang.org/x/sys"
)

// platforms are those that .goreleaser.yaml builds for.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}

// noticeHead is what NOTICE says before it lists modules.
const noticeHead = `vaeguard

This product is licensed under the Apache License, Version 2.0: see LICENSE.
Its binary contains the data sets and Go modules named here, under their own
licences. The list of modules and their texts are written by
go test ./host/cmd/vaeguard -run TestNotice -update

Data sets embedded in the binary (builtin/datasets/README.md has more):

  fashion-mnist-3k  MIT, Copyright 2017 Zalando SE; a part of Fashion-MNIST
  digits            CC BY 4.0, E. Alpaydin, C. Kaynak (UCI, Optical Recognition of Handwritten Digits)
  breast_cancer     CC BY 4.0, W. Wolberg, O. Mangasarian, N. Street, W. Street (UCI, Breast Cancer Wisconsin, Diagnostic)
  wine              CC BY 4.0, S. Aeberhard, M. Forina (UCI, Wine)
  iris              CC BY 4.0, R. A. Fisher (UCI, Iris)

The four tables are scikit-learn's copies: BSD-3-Clause, Copyright the
scikit-learn developers. The text of CC BY 4.0 is at
https://creativecommons.org/licenses/by/4.0/legalcode.
`

// TestNotice holds NOTICE to what go list says is linked into the binary on
// any platform of a release: every module, its version, its licence's text.
func TestNotice(t *testing.T) {
	modules, texts := linked(t)
	var b strings.Builder
	b.WriteString(noticeHead)
	b.WriteString("\nModules, with where their source is:\n\n")
	fmt.Fprintf(&b, "  %s  BSD-3-Clause  https://go.dev/dl\n", standard)
	for _, m := range slices.Sorted(maps.Keys(modules)) {
		fmt.Fprintf(&b, "  %s  %s  https://pkg.go.dev/%s\n", m, strings.Join(modules[m], ", "), strings.Replace(m, " ", "@", 1))
	}
	order := slices.SortedFunc(maps.Keys(texts), func(a, b string) int { return strings.Compare(texts[a][0], texts[b][0]) })
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(texts[text], "\n"), text)
	}
	want := b.String()
	if *update {
		if err := os.WriteFile(noticePage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(noticePage)
	if err != nil {
		t.Fatal(err)
	}
	for m := range modules {
		if !strings.Contains(string(got), "  "+m+"  ") {
			t.Errorf("NOTICE does not name %s, which the binary contains", m)
		}
	}
	if string(got) != want {
		t.Error("NOTICE is not what the linked modules' licences say: go test ./host/cmd/vaeguard -run TestNotice -update")
	}
}

// fashion is the licence that builtin/datasets/README.md quotes.
func fashion(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../../builtin/datasets/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var quote []string
	for line := range strings.Lines(string(page)) {
		if rest, ok := strings.CutPrefix(line, ">"); ok {
			quote = append(quote, strings.TrimPrefix(rest, " "))
		}
	}
	text := tidy(strings.Join(quote, ""))
	if !slices.Equal(identify(text), []string{"MIT"}) {
		t.Fatalf("the quoted licence of Fashion-MNIST is not the one expected: %.60q…", text)
	}
	return text
}

// linked are the modules, "path version", with the identifiers of their
// licences, and the texts of these with the files they stand in.
func linked(t *testing.T) (modules map[string][]string, texts map[string][]string) {
	t.Helper()
	modules, texts = map[string][]string{}, map[string][]string{}
	ours, err := os.ReadFile("../../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	texts[fashion(t)] = []string{"fashion-mnist-3k, a data set (Copyright 2017 Zalando SE)"}
	read := map[string]bool{}
	for _, platform := range platforms {
		system, arch, _ := strings.Cut(platform, "/")
		c := exec.Command("go", "list", "-deps", "-json=Dir,Module", ".")
		c.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0")
		var said bytes.Buffer
		c.Stderr = &said
		out, err := c.Output()
		if err != nil {
			t.Fatalf("go list for %s: %v\n%s", platform, err, said.String())
		}
		for dec := json.NewDecoder(bytes.NewReader(out)); ; {
			var p struct {
				Dir    string
				Module *struct {
					Path, Version, Dir string
					Main               bool
				}
			}
			if err := dec.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if p.Module == nil || p.Module.Main {
				continue
			}
			name := p.Module.Path + " " + p.Module.Version
			for dir := p.Dir; strings.HasPrefix(dir, p.Module.Dir); dir = filepath.Dir(dir) { // from the package up to the module
				if read[dir] {
					continue
				}
				read[dir] = true
				for _, file := range licences(t, dir) {
					raw, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					rel, err := filepath.Rel(p.Module.Dir, file)
					if err != nil {
						t.Fatal(err)
					}
					from, text := path.Join(p.Module.Path, filepath.ToSlash(rel)), tidy(string(raw))
					ids := identify(text)
					text = refer(text, ours)
					switch upper := strings.ToUpper(rel); {
					case strings.Contains(upper, ofOthers): // the text alone: which of it is linked is not told
					case ids == nil && !strings.Contains(upper, "NOTICE"):
						t.Errorf("%s: no licence that this test knows", from)
					default:
						modules[name] = union(modules[name], ids)
					}
					if p.Module.Path == goLicence {
						texts[text] = union(texts[text], []string{standard})
					}
					texts[text] = union(texts[text], []string{from})
				}
			}
			if modules[name] == nil {
				t.Errorf("%s: no licence beside its code", name)
			}
		}
	}
	return modules, texts
}

// ofOthers is a folder of the licences of code that a module took over.
const ofOthers = "THIRD_PARTY_LICENSES"

var licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|notice)(\.(txt|md))?$`)

func licences(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch {
		case !e.IsDir() && licenceFile.MatchString(e.Name()):
			out = append(out, filepath.Join(dir, e.Name()))
		case e.IsDir() && e.Name() == ofOthers:
			err := filepath.WalkDir(filepath.Join(dir, e.Name()), func(file string, e fs.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					out = append(out, file)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// marks are sentences by which a licence is known, with its SPDX identifier.
var marks = []struct{ id, sentence string }{
	{"Apache-2.0", "Apache License Version 2.0"},
	{"Apache-2.0", "Licensed under the Apache License, Version 2.0"},
	{"MPL-2.0", "Mozilla Public License, version 2.0"},
	{"MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files"},
	{"Unlicense", "This is free and unencumbered software released into the public domain"},
}

// identify names the licences in a text; nil: none is known.
func identify(text string) []string {
	flat := strings.Join(strings.Fields(text), " ")
	var ids []string
	for _, m := range marks {
		if strings.Contains(flat, m.sentence) {
			ids = union(ids, []string{m.id})
		}
	}
	if strings.Contains(flat, "Redistribution and use in source and binary forms") {
		id := "BSD-2-Clause"
		if regexp.MustCompile(`(?i)neither the names? of|names? of .{0,80} may not be used to endorse|names? of its contributors may not be used`).MatchString(flat) {
			id = "BSD-3-Clause"
		}
		ids = union(ids, []string{id})
	}
	return ids
}

// refer puts a reference to this repository's LICENSE in the place of the
// Apache License's terms, if the text has them to the word.
func refer(text string, ours []byte) string {
	const begin, end = "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION", "END OF TERMS AND CONDITIONS"
	_, want, _ := strings.Cut(string(ours), begin)
	want, _, _ = strings.Cut(want, end)
	before, rest, found := strings.Cut(text, begin)
	terms, after, ended := strings.Cut(rest, end)
	if !found || !ended || strings.Join(strings.Fields(terms), " ") != strings.Join(strings.Fields(want), " ") {
		return text
	}
	return before + "(the terms and conditions are those in LICENSE, to the word)" + after
}

// tidy drops what makes equal licences differ: line ends and outer blanks.
func tidy(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r", ""), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \t")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	slices.Sort(a)
	return a
}
