package spec_test

import (
	"testing"
)

const pluginSchema = `{
  "type": "object", "additionalProperties": false, "required": ["layers"],
  "properties": {
    "layers": {"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/layer"}},
    "rate": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    "mode": {"enum": ["fast", "exact"]},
    "weights": {"type": "string", "format": "path"},
    "token": {"type": "string", "secret": true}
  },
  "definitions": {
    "layer": {"anyOf": [
      {"type": "string", "enum": ["flatten", "relu"]},
      {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false, "properties": {
        "dense": {"type": "object", "required": ["units"], "additionalProperties": false, "properties": {"units": {"type": "integer", "minimum": 1}}},
        "residual": {"type": "object", "properties": {"layers": {"type": "array", "items": {"$ref": "#/definitions/layer"}}}}
      }}]}
  }
}`

func TestCheckConfig(t *testing.T) {
	const head = "api_version: vaeguard/v1\nkind: Experiment\nname: x\nclassifier:\n  plugin: mlp\n  config:\n"
	for _, c := range []struct{ name, config, want string }{
		{"sound", "    layers: [flatten, {dense: {units: 3}}, {residual: {layers: [{dense: {units: 1}}]}}]\n    rate: 0\n    mode: fast\n    token: ${TOKEN}\n", ""},
		{"a secret that may be absent", "    layers: [flatten]\n    token: \"${VAEGUARD_NO_SUCH_VARIABLE:}\"\n", ""},
		{"a secret with a default", "    layers: [flatten]\n    token: ${VAEGUARD_NO_SUCH_VARIABLE:abc}\n", "x.yaml:8:12: classifier.config.token: a secret cannot be given as a literal; want ${VARIABLE}"},
		{"missing", "    rate: 0.5\n", `x.yaml:6:3: classifier.config: missing key "layers"`},
		{"all at once", "    layers: [flaten, {dense: {unit: 3}}, {residual: {layers: [{dense: {units: 0}}]}}, 3, {dens: {}}]\n    rate: 1\n    mode: exakt\n    token: abc\n    weights: 7\n",
			`x.yaml:7:14: classifier.config.layers[0]: want flatten or relu, got "flaten"; did you mean "flatten"?
x.yaml:7:31: classifier.config.layers[1].dense: unknown key "unit"; did you mean "units"?
x.yaml:7:79: classifier.config.layers[2].residual.layers[0].dense.units: must be >= 1, got 0
x.yaml:7:87: classifier.config.layers[3]: want a string or a mapping, got 3
x.yaml:7:91: classifier.config.layers[4]: unknown key "dens"; did you mean "dense"?
x.yaml:8:11: classifier.config.rate: must be < 1, got 1
x.yaml:9:11: classifier.config.mode: want fast or exact, got "exakt"; did you mean "exact"?
x.yaml:10:12: classifier.config.token: a secret cannot be given as a literal; want ${VARIABLE}
x.yaml:11:14: classifier.config.weights: want a string, got 7`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse("x.yaml", head+c.config, options())
			if err != nil {
				t.Fatal(err)
			}
			errs := s.CheckConfig([]byte(pluginSchema), "classifier.config")
			if got := errs.Error(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestCheckConfigEndlessSchema(t *testing.T) {
	s, err := parse("x.yaml", "api_version: vaeguard/v1\nkind: Experiment\nname: x\nclassifier: {plugin: p, config: {a: 1}}\n", options())
	if err != nil {
		t.Fatal(err)
	}
	s.CheckConfig([]byte(`{"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "type": "string"}`), "classifier.config")
	s.CheckConfig([]byte(`{"allOf": [{"$ref": "#"}, {"$ref": "#"}]}`), "classifier.config")
	if errs := s.CheckConfig([]byte(`{"type": 3, `), "classifier.config"); len(errs) != 1 {
		t.Errorf("a broken schema: %v", errs)
	}
}
