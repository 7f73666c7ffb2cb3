package spec

import "encoding/json"

// ReadConfig reads a plugin's config from a YAML or JSON file and returns it
// as JSON. Variables are expanded. All faults come back at once, as Errors.
func ReadConfig(file string, lookup func(string) (string, bool)) ([]byte, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	root, errs := growYAML(file, data, lookup)
	if err := errs.orNil(); err != nil {
		return nil, err
	}
	v, err := root.value()
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
