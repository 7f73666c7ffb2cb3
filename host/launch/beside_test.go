//go:build unix

package launch

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// program is a file of the format ELF that says how it is linked and runs nothing.
type program struct {
	interp  string
	dynamic map[elf.DynTag]string
	bare    bool // without sections
}

func (p program) bytes(t *testing.T) []byte {
	t.Helper()
	const header, segment, section = 64, 56, 64
	strings := []byte{0}
	var dynamic []elf.Dyn64
	for _, tag := range []elf.DynTag{elf.DT_NEEDED, elf.DT_RPATH, elf.DT_RUNPATH, elf.DT_AUDIT} {
		if v, ok := p.dynamic[tag]; ok {
			dynamic = append(dynamic, elf.Dyn64{Tag: int64(tag), Val: uint64(len(strings))})
			strings = append(append(strings, v...), 0)
		}
	}
	dynamic = append(dynamic, elf.Dyn64{Tag: int64(elf.DT_NULL)})
	var table bytes.Buffer
	put := func(b *bytes.Buffer, v any) {
		if err := binary.Write(b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	put(&table, dynamic)
	interp := append([]byte(p.interp), 0)
	segments := uint16(0)
	if p.interp != "" {
		segments++
	}
	if p.dynamic != nil {
		segments++
	}
	body := uint64(header + segment*int(segments))
	atStrings := body + uint64(len(interp))
	atTable := atStrings + uint64(len(strings))
	atSections := atTable + uint64(table.Len())
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: header, Ehsize: header, Phentsize: segment, Phnum: segments, Shentsize: section}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	if !p.bare {
		h.Shoff, h.Shnum, h.Shstrndx = atSections, 3, 1
	}
	var out bytes.Buffer
	put(&out, h)
	if p.interp != "" {
		put(&out, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: body, Filesz: uint64(len(interp))})
	}
	if p.dynamic != nil {
		put(&out, elf.Prog64{Type: uint32(elf.PT_DYNAMIC), Off: atTable, Filesz: uint64(table.Len())})
	}
	out.Write(interp)
	out.Write(strings)
	out.Write(table.Bytes())
	if !p.bare {
		put(&out, elf.Section64{})
		put(&out, elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: atStrings, Size: uint64(len(strings))})
		kind := elf.SHT_DYNAMIC
		if p.dynamic == nil {
			kind = elf.SHT_PROGBITS
		}
		put(&out, elf.Section64{Type: uint32(kind), Off: atTable, Size: uint64(table.Len()), Link: 1, Entsize: 16})
	}
	return out.Bytes()
}

// TestLoadsFromBeside: a program that has libraries looked for beside itself, or where it is
// started, is allowed in its own folder alone, as a script is.
func TestLoadsFromBeside(t *testing.T) {
	type d = map[elf.DynTag]string
	libc := d{elf.DT_NEEDED: "libc.so.6"}
	for name, c := range map[string]struct {
		file  []byte
		alone bool
	}{
		"static":                  {program{}.bytes(t), true},
		"the system's libraries":  {program{interp: "/lib64/ld.so", dynamic: libc}.bytes(t), true},
		"a folder of the system":  {program{dynamic: d{elf.DT_RUNPATH: "/opt/lib:/usr/lib"}}.bytes(t), true},
		"ORIGIN":                  {program{dynamic: d{elf.DT_RUNPATH: "$ORIGIN"}}.bytes(t), false},
		"ORIGIN in braces":        {program{dynamic: d{elf.DT_RPATH: "/usr/lib:${ORIGIN}/../lib"}}.bytes(t), false},
		"its working folder":      {program{dynamic: d{elf.DT_RUNPATH: "lib"}}.bytes(t), false},
		"an empty entry":          {program{dynamic: d{elf.DT_RPATH: "/usr/lib:"}}.bytes(t), false},
		"a library by a path":     {program{dynamic: d{elf.DT_NEEDED: "./libx.so"}}.bytes(t), false},
		"an auditor":              {program{dynamic: d{elf.DT_AUDIT: "x.so"}}.bytes(t), false},
		"a loader beside it":      {program{interp: "./ld.so", dynamic: libc}.bytes(t), false},
		"sections taken off":      {program{dynamic: libc, bare: true}.bytes(t), false},
		"a format that is no ELF": {[]byte("MZ"), false},
	} {
		t.Run(name, func(t *testing.T) {
			list := filepath.Join(t.TempDir(), "vaeguard", "allowed.lock")
			here, elsewhere := t.TempDir(), t.TempDir()
			for _, dir := range []string{here, elsewhere} {
				if err := os.WriteFile(filepath.Join(dir, "clf"), c.file, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(elsewhere, "libx.so"), []byte("evil"), 0o755); err != nil {
				t.Fatal(err)
			}
			v, err := Command{Path: filepath.Join(here, "clf")}.verify(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			v.close()
			if err := (&Classifier{cmd: v}).Remember(list); err != nil {
				t.Fatal(err)
			}
			for dir, want := range map[string]bool{here: true, elsewhere: c.alone} {
				p := Plugin{Name: "clf", Command: Command{Path: filepath.Join(dir, "clf")}}
				if ok, err := (Consent{User: list}).Starts(t.Context(), p); err != nil || ok != want {
					t.Errorf("in the folder where it was trained: %v: started %v, %v", dir == here, ok, err)
				}
			}
		})
	}
}
