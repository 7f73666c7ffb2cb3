package main

import (
	"strings"

	"github.com/vaeguard/vaeguard/host/launch"
)

// hostileSpecs are specs and the other files that people write.
func hostileSpecs() []hostile {
	const head = "api_version: vaeguard/v1\nkind: Experiment\nname: x\n"
	parse := func(text string) met { return file("x.yaml", []byte(text), 2, "lint", "x.yaml") }
	manifest := func(text string) met { return file("plugin.yaml", []byte(text), 2, "read", "manifest", "plugin.yaml") }
	lock := func(text string) met {
		return file(launch.LockName, []byte(text), 1, "read", "lock", launch.LockName)
	}
	config := func(schema, text string) met {
		return files(map[string][]byte{"schema": []byte(schema), "config": []byte(text)}, 1, "read", "config", "schema", "config")
	}
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += strings.NewReplacer("C", string(c), "P", string(c-1)).Replace("C: &C [*P, *P, *P, *P, *P, *P, *P, *P, *P, *P]\n")
	}
	return []hostile{
		{"spec", "alias bomb of 10 billion values", parse(bomb), "more than 100000 values"},
		{"spec", "alias that contains itself", parse(head + "classifier: &a {config: *a}\n"), "contains itself"},
		{"spec", "150 lists in each other", parse(head + "classifier: {plugin: x, config: {a: " + strings.Repeat("[", 150) + strings.Repeat("]", 150) + "}}\n"), "nested deeper than 100"},
		{"spec", "5 MB of comments", parse(strings.Repeat("# comment\n", 500_000)), "bytes; a file of this kind has at most"},
		{"spec", "cut in a list", parse(head + "attacks: [pgd, "), "not YAML: did not find expected node content"},
		{"spec", "second document", parse(head + "---\nname: y\n"), "a second document begins here"},
		{"spec", "key twice", parse(head + "name: y\n"), "appears twice"},
		{"spec", "unknown key", parse(head + "sead: 1\n"), `did you mean "seed"`},
		{"spec", "tag that names a type of Python", parse(head + "seed: !!python/object/apply:os.system [id]\n"), "is not supported"},
		{"spec", "number beyond 64 bits", parse(head + "seed: 99999999999999999999\n"), "seed: want an integer from 0"},
		{"spec", "code a billion wide", parse(head + "vae: {latent_dim: 1000000000}\n"), "vae.latent_dim: must be >= 0 and <= 1048576"},
		{"spec", "batch of 2^62 rows", parse(head + "train: {batch_size: 4611686018427387904}\n"), "train.batch_size: must be"},
		{"spec", "name that leads elsewhere", parse(strings.Replace(head, "name: ", "name: ../../", 1)), "cannot name a folder"},
		{"spec", "name that reverses what is printed", parse(strings.Replace(head, "name: ", "name: \u202e", 1)), "not printed"},
		{"spec", "infinite learning rate", parse(head + "vae: {latent_dim: 2, encoder: [{dense: {units: 2}}], decoder: [{dense: {units: 2}}]}\ntrain: {optimizer: {adam: {learning_rate: .inf}}}\n"), "numbers are finite"},
		{"spec", "bytes that are no UTF-8", parse(head + "compat: \"\xff\xfe\"\n"), "invalid leading UTF-8 octet"},
		{"spec", "variable that is not set", parse(head + "seed: ${VAEGUARD_NO_SUCH_VARIABLE}\n"), "VAEGUARD_NO_SUCH_VARIABLE is not set"},
		{"plugin.yaml", "pinned file outside the folder", manifest("name: x\nversion: 1.0.0\nsummary: x\ncommand: [./x]\nfiles: [../../etc/passwd]\n"), "is outside the folder"},
		{"plugin.yaml", "no program", manifest("name: x\nversion: 1.0.0\nsummary: x\ncommand: []\nfiles: [x]\n"), "names no program"},
		{"plugin.yaml", "schema of 100,000 levels", manifest("name: x\nversion: 1.0.0\nsummary: x\ncommand: [./x]\nconfig: " + strings.Repeat("[", 100_000) + "\n"), "plugin.yaml"},
		{"vaeguard.lock", "truncated", lock(`{"version": 2, "plug`), "unexpected EOF"},
		{"vaeguard.lock", "trailing bytes", lock(`{"version": 2, "plugins": {}} x`), "unexpected data after its end"},
		{"vaeguard.lock", "another version", lock(`{"version": 9, "plugins": {}}`), "version 9, want 2"},
		{"vaeguard.lock", "digest that is not one", lock(`{"version": 2, "plugins": {"x": {"linux/amd64": {"sha256": "abc", "path": "/x"}}}}`), "is not a sha256"},
		{"config", "schema that points at a file", config(`{"$ref": "file:///etc/passwd"}`, `{}`), "no URLLoader registered"},
		{"config", "schema that is its own definition", config(`{"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a", "required": ["x"]}`, `{}`), "causing reference cycle"},
		{"config", "value of another type", config(`{"properties": {"units": {"type": "integer"}}}`, `{"units": "many"}`), "want integer"},
	}
}

// hostileTables are CSV files and JSON lines.
func hostileTables() []hostile {
	read := func(name, text string) met { return file(name, []byte(text), 1, "read", "rows", name) }
	return []hostile{
		{"csv", "empty", read("t.csv", ""), "empty"},
		{"csv", "word among numbers", read("t.csv", "a,b\n1,2\n3,low\n"), `row 1: line 3: column "b": "low" is not a number`},
		{"csv", "NaN", read("t.csv", "a,b\n1,NaN\n"), `column "b": "NaN": no value`},
		{"csv", "beyond float32", read("t.csv", "a\n1e39\n"), "want finite"},
		{"csv", "empty cell", read("t.csv", "a,b\n1,\n"), "no value"},
		{"csv", "short row", read("t.csv", "a,b\n1\n"), "1 columns, want 2"},
		{"csv", "quote without end", read("t.csv", "a,b\n\"1,2\n"), "row 0: line 2: extraneous or missing"},
		{"csv", "200,000 columns of a header", read("t.csv", strings.Repeat("x,", 200_000)+"x\n1,2\n"), `two columns "x"`},
		{"csv", "five million columns", read("t.csv", strings.Repeat("1,", 5_000_000)+"1\n").within(640, 5), "5000001 columns, want at most 1048576"},
		{"csv", "zeros of another file", read("t.csv", strings.Repeat("\x00", 1<<20)), "t.csv"},
		{"csv", "another encoding", read("t.csv", "\xff\xfea\x00,\x00b\x00\n\x001\x00,\x002\x00\n\x00"), "t.csv"},
		{"csv", "number of a million digits", read("t.csv", "a\n"+strings.Repeat("9", 1_000_000)+"\n"), "want finite"},
		{"csv", "record of 20 MB", read("t.csv", "a,b\n\""+strings.Repeat("1", 20<<20)+"\",2\n"), "the row exceeds 16777216 bytes"},
		{"jsonl", "empty", read("t.jsonl", ""), "empty"},
		{"jsonl", "word among numbers", read("t.jsonl", "[1,2]\n[1,\"x\"]\n"), "row 1: line 2: column 1"},
		{"jsonl", "row of another width", read("t.jsonl", "[1,2]\n[1]\n"), "row 1: line 2: want 2 entries, got 1"},
		{"jsonl", "beyond float32", read("t.jsonl", "[1,1e400]\n"), "row 0: line 1: column 1: \"1e400\": want finite numbers"},
		{"jsonl", "cut in a row", read("t.jsonl", "[1,2]\n[1,"), "row 1: line 2: column 1: no value"},
		{"jsonl", "100,000 lists in each other", read("t.jsonl", strings.Repeat("[", 100_000)), "line 1: want a JSON array of numbers"},
		{"jsonl", "line of 20 MB", read("t.jsonl", "["+strings.Repeat("1,", 10<<20)+"1]\n"), "t.jsonl"},
		{"jsonl", "number of a million digits", read("t.jsonl", "["+strings.Repeat("9", 1_000_000)+"]\n"), "t.jsonl"},
		{"jsonl", "200,000 keys", read("t.jsonl", "{"+strings.Repeat(`"x": 1, `, 200_000)+"\"x\": 1}\n"), "t.jsonl"},
		{"jsonl", "arrays whose lengths differ inside", read("t.jsonl", "[[1,2],[3]]\n"), "row 0: line 1"},
		{"jsonl", "object with a word", read("t.jsonl", "{\"x\": \"y\"}\n"), `row 0: line 1: column "x": "y" is not a number`},
	}
}
