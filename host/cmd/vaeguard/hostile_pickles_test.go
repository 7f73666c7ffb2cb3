package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// fromAlibi reads a folder as one of alibi-detect's, and tells what it took.
const fromAlibi = `
import os, re, sys
sys.path.insert(0, sys.argv[1])
from vaeguard.detect import from_alibi
try:
    from_alibi(sys.argv[2])
except (ValueError, FileNotFoundError) as e:
    print(type(e).__name__ + ":", e, file=sys.stderr)
    code = 1
else:
    code = 0
peak = 0
if os.path.exists("/proc/self/status"):
    with open("/proc/self/status") as f:
        peak = int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)) * 1024
with open(os.environ["` + peakName + `"], "w") as f:
    f.write(f"{peak} {int(1000 * sum(os.times()[:4]))}")
sys.exit(code)
`

// hostilePickles are settings as alibi-detect saves them, for Python.
func hostilePickles(t *testing.T) []hostile {
	t.Helper()
	sdk, err := filepath.Abs("../../../sdk/python")
	if err != nil {
		t.Fatal(err)
	}
	met := func(files_ map[string][]byte) met {
		all := map[string][]byte{}
		for name, data := range files_ {
			all["ad/"+name+".dill"] = data
		}
		return files(all, 1, "python", "-B", "-c", fromAlibi, sdk, "ad")
	}
	text := func(s string) string {
		return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
	}
	// named has a value for the name of the kind of detector.
	named := func(value string) map[string][]byte {
		return map[string][]byte{"meta": []byte("\x80\x04}" + text("name") + value + "s.")}
	}
	// settings has one for a threshold.
	settings := func(value string) map[string][]byte {
		all := named(text("AdversarialAE"))
		all["AdversarialAE"] = []byte("\x80\x04}" + text("threshold") + value + "s.")
		return all
	}
	// doubled is a value, and then one of twice the one before, again and again.
	doubled := func(first, pair string, times int) string {
		out := first + "q\x00"
		for i := range times {
			out += "0" + strings.ReplaceAll(pair, "GET", "h"+string([]byte{byte(i)})) + "q" + string([]byte{byte(i + 1)})
		}
		return out
	}
	long := binary.LittleEndian.AppendUint64(nil, 1<<40)
	// A type of objects whose state says that it has none, and a number of it: the eight
	// bytes are then an address.
	pointer := "cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(" + text("O8") + "\x89\x88tR(K\x03" + text("|") + "NNNK\x08K\x08K\x00tbC\x08AAAAAAAAtR"
	vast := "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR(K\x01(\x8a\x05\x00\x00\x00\x00\x04tcnumpy\ndtype\n(" + text("f8") + "\x89\x88tR(K\x03" + text("<") + "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C\x08AAAAAAAAtb"
	return []hostile{
		{"pickle", "a program", met(named("cposix\nsystem\n(" + text("touch ran") + "tR")), "it holds posix.system, want plain values and numbers"},
		{"pickle", "a name with escapes", met(named("cx\x1b[2J\x07\nvaeguard\n")), `it holds x\x1b[2J\x07.vaeguard`},
		{"pickle", "a program's name on the stack", met(settings(text("builtins") + text("eval") + "\x93" + text("1") + "\x85R")), "it holds builtins.eval"},
		{"pickle", "NumPy's own eval", met(settings("cnumpy.testing._private.utils\nrunstring\n(" + text("1") + "}tR")), "it holds numpy.testing._private.utils.runstring"},
		{"pickle", "a number that is an address", met(settings(pointer)), "it holds numbers of type O8"},
		{"pickle", "an array of 2^34 numbers in eight bytes", met(settings(vast)), "it holds an array of 8 bytes and another shape"},
		{"pickle", "the 2^31st place of the memo", met(named("Nr\xff\xff\xff\x7f")), "holds NoneType, want AdversarialAE"},
		{"pickle", "2^40 bytes that are not there", met(map[string][]byte{"meta": append([]byte("\x80\x05\x96"), long...)}), "bytearray8"},
		{"pickle", "a text of 2^40 bytes", met(map[string][]byte{"meta": append([]byte("\x80\x04\x8d"), long...)}), "unicodestring8"},
		{"pickle", "a name of 2^40 lists", met(named(doubled("]", "](GETGETe", 40))), "holds list, want AdversarialAE"},
		{"pickle", "a key of 2^40 tuples", met(map[string][]byte{"meta": []byte("\x80\x04}" + doubled(")", "GETGET\x86", 40) + "Ns.")}), "a dict by tuple"},
		{"pickle", "200,000 lists in each other", met(named(strings.Repeat("](", 200_000) + strings.Repeat("e", 200_000))), "holds list, want AdversarialAE"},
		{"pickle", "an object that somebody keeps", met(named("Pthem\n")), "it uses PERSID"},
		{"pickle", "a name by its number", met(named("\x82\x01")), "it uses EXT1"},
		{"pickle", "2 MB", met(map[string][]byte{"meta": append([]byte("\x80\x04"), bytes.Repeat([]byte("N0"), 1<<20)...)}), "has more than 1048576 bytes"},
		{"pickle", "a threshold of a million digits", met(settings("I" + strings.Repeat("9", 1_000_000) + "\n")), "ValueError"},
		{"pickle", "a threshold that is a list", met(settings("]")), "threshold is a list, want a number"},
		{"pickle", "cut", met(map[string][]byte{"meta": []byte("\x80\x04}" + text("name"))}), "pickle exhausted"},
		{"pickle", "no dict", met(map[string][]byte{"meta": []byte(fmt.Sprintf("I%d\n.", 7))}), "holds a int, want a dict"},
	}
}
