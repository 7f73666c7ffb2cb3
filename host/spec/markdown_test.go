package spec

import "testing"

func TestMarkdown(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"component": {
			"pool (layer)\n\nTakes the maximum of_x * y.\n\n" +
				"option   type     default   legal     meaning\n" +
				"size     integer  required  >= 1      width of a window\n" +
				"padding  string   valid     a or b    same | valid: with  zeros\n\n" +
				"Example:\n\n  pool:\n    size: 2\n",
			"## pool (layer)\n\nTakes the maximum of_x \\* y.\n\n" +
				"| option | type | default | legal | meaning |\n|---|---|---|---|---|\n" +
				"| `size` | integer | required | \\>= 1 | width of a window |\n" +
				"| `padding` | string | valid | a or b | same \\| valid: with  zeros |\n\n" +
				"Example:\n\n```yaml\npool:\n  size: 2\n```\n",
		},
		"key": {
			"train.epochs (integer)\n\npasses over data.train\n\ndefault  20\nbounds   >= 1\n",
			"## train.epochs (integer)\n\npasses over data.train\n\n| | |\n|---|---|\n| default | 20 |\n| bounds | \\>= 1 |\n",
		},
		"keys": {"Keys\n\nan <a> page\n", "# Keys\n\nan \\<a\\> page\n"},
	} {
		if got := Markdown(c.text); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}
