package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/artifact/pack"
)

// member is a file of a pack, and how its header is changed.
type member struct {
	name, text string
	change     func(*tar.Header)
}

// packOf is a pack of members behind a list, which change may make a lie of.
func packOf(t *testing.T, change func(*pack.Manifest), members ...member) []byte {
	t.Helper()
	m := pack.Manifest{FormatVersion: pack.FormatVersion, Places: []pack.Place{}, Needs: []string{}, Files: []pack.File{}}
	for _, f := range members {
		sum := sha256.Sum256([]byte(f.text))
		m.Files = append(m.Files, pack.File{Name: f.name, Size: int64(len(f.text)), Mode: "0644", SHA256: hex.EncodeToString(sum[:])})
	}
	if change != nil {
		change(&m)
	}
	list, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return tarOf(t, append([]member{{name: pack.ManifestName, text: string(list)}}, members...)...)
}

func tarOf(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range members {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.text)), Mode: 0o644, ModTime: time.Unix(0, 0)}
		if f.change != nil {
			f.change(h)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(f.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// hostilePacks are packs of anybody.
func hostilePacks(t *testing.T) []hostile {
	t.Helper()
	inspect := func(data []byte) met { return file("x.vg", data, 1, "inspect", "x.vg") }
	detect := func(data []byte) met {
		return files(map[string][]byte{"x.vg": data, "x.csv": []byte("1,2,3,4\n")}, 1, "detect", "x.vg", "--data", "x.csv", "--quiet")
	}
	a, b := member{name: "a", text: "1"}, member{name: "b", text: "2"}
	named := func(names ...string) []byte {
		var all []member
		for _, n := range names {
			all = append(all, member{name: n, text: "1"})
		}
		return packOf(t, nil, all...)
	}
	typed := func(kind byte, link string) []byte {
		odd := member{name: "a", change: func(h *tar.Header) { h.Typeflag, h.Linkname = kind, link }}
		whole := packOf(t, nil, a, b)
		first := tarOf(t, odd)
		const block, end = 512, 1024
		at := block + block*((bytes.IndexByte(whole[block:], 0)+block-1)/block) // after the list
		return append(append(bytes.Clone(whole[:at]), first[:len(first)-end]...), whole[at:]...)
	}
	many := func(n int) []byte {
		return packOf(t, func(m *pack.Manifest) {
			f := m.Files[0]
			m.Files = nil
			for i := range n {
				f.Name = fmt.Sprintf("f%07d", i)
				m.Files = append(m.Files, f)
			}
		}, a)
	}
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, err := z.Write(packOf(t, nil, a))
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	sparse := packOf(t, nil, a, b)
	at := bytes.Index(sparse, append([]byte("a"), make([]byte, 99)...))
	sparse[at+156] = 'S'
	return []hostile{
		{"pack", "empty", inspect(nil), "neither a pack"},
		{"pack", "compressed", inspect(gz.Bytes()), "neither a pack"},
		{"pack", "another archive", inspect(tarOf(t, a)), `not a pack: it begins with "a"`},
		{"pack", "symbolic link to /etc", inspect(typed(tar.TypeSymlink, "/etc")), "not a plain file"},
		{"pack", "hard link to a file of the user", inspect(typed(tar.TypeLink, "/etc/passwd")), "not a plain file"},
		{"pack", "device", detect(typed(tar.TypeChar, "")), "not a plain file"},
		{"pack", "pipe", detect(typed(tar.TypeFifo, "")), "not a plain file"},
		{"pack", "file with holes", inspect(sparse), "x.vg"},
		{"pack", "absolute name", inspect(named("/etc/cron.d/x")), "the name is absolute"},
		{"pack", "name that leads out", detect(named("a/../../x")), "the name leaves the pack"},
		{"pack", "name of Windows' devices", inspect(named("a/NUL.txt")), "a device on Windows"},
		{"pack", "name with escapes", inspect(named(forged)), "a character that not every system allows"},
		{"pack", "names that differ in case", inspect(named("A", "a")), "differ only in case"},
		{"pack", "name twice", inspect(named("a", "a")), "is there twice"},
		{"pack", "20,001 files", inspect(many(20_001)), "20001 files, at most 20000"},
		{"pack", "list of 17 MB", inspect(tarOf(t, member{name: pack.ManifestName, text: strings.Repeat(" ", 17<<20)})), "pack.json has more than 16777216 bytes"},
		{"pack", "list of 100,000 lists in each other", inspect(tarOf(t, member{name: pack.ManifestName, text: strings.Repeat("[", 100_000)})), "pack.json: "},
		{"pack", "file of 16 GiB that is not there", detect(packOf(t, func(m *pack.Manifest) { m.Files[0].Size = 16 << 30 }, a)), "it is truncated"},
		{"pack", "files of 2^63 bytes together", inspect(packOf(t, func(m *pack.Manifest) { m.Files[0].Size, m.Files[1].Size = 1<<62, 1<<62 }, a, b)), "more than 17179869184 bytes"},
		{"pack", "file that is edited", detect(packOf(t, func(m *pack.Manifest) { m.Files[0].SHA256 = strings.Repeat("0", 64) }, a)), "a was edited"},
		{"pack", "file that is not listed", inspect(packOf(t, func(m *pack.Manifest) { m.Files = m.Files[:1] }, a, b)), "which pack.json does not list"},
		{"pack", "program that runs as its owner", inspect(packOf(t, func(m *pack.Manifest) { m.Files[0].Mode = "4755" }, a)), `mode "4755"`},
		{"pack", "classifier that is /bin/sh", inspect(packOf(t, func(m *pack.Manifest) { m.Places = []pack.Place{{Key: "path", Path: "/bin/sh"}} }, a)), "absolute"},
	}
}
