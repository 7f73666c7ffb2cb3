package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// The types of what a layout holds (OCI Image Format Specification 1.1).
const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// layout is the folder. The first error stays.
type layout struct {
	dir string
	err error
}

func (l *layout) write(name string, data []byte) {
	path := filepath.Join(l.dir, name)
	if l.err == nil {
		l.err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if l.err == nil {
		l.err = os.WriteFile(path, data, 0o644) //nolint:gosec // an image is for everybody
	}
}

// descriptor points to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *descriptor  `json:"config,omitempty"`
	Layers        []descriptor `json:"layers,omitempty"`
	Manifests     []descriptor `json:"manifests,omitempty"`
}

type config struct {
	platform
	Config  settings `json:"config"`
	RootFS  rootFS   `json:"rootfs"`
	History []past   `json:"history"`
}

// settings are what the Dockerfile says after its files.
type settings struct {
	User         string              `json:"User"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts"`
	Env          []string            `json:"Env"`
	Entrypoint   []string            `json:"Entrypoint"`
	Cmd          []string            `json:"Cmd"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type past struct {
	CreatedBy string `json:"created_by"`
}

// command is what the image starts by default.
func command() []string {
	return []string{"serve", "/mnt/models", "--http", "0.0.0.0:8080", "--grpc", "0.0.0.0:9000", "--admin", "0.0.0.0:9090", "--set", "auth.admin=${VAEGUARD_ADMIN:}"}
}

// blob writes data under its digest.
func (l *layout) blob(kind string, data []byte) descriptor {
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	l.write("blobs/sha256/"+sum, data)
	return descriptor{MediaType: kind, Digest: "sha256:" + sum, Size: len(data)}
}

// image writes the image of one layer, and is the index that points to it.
func (l *layout) image(arch, name string, packed []byte, plain string) manifest {
	on := platform{Architecture: arch, OS: "linux"}
	c := l.blob(configType, encoded(config{platform: on,
		Config: settings{User: fmt.Sprintf("%d:%d", user, user), ExposedPorts: map[string]struct{}{"8080/tcp": {}, "9000/tcp": {}, "9090/tcp": {}},
			Env: []string{"TMPDIR=/tmp"}, Entrypoint: []string{"/vaeguard"}, Cmd: command()},
		RootFS: rootFS{Type: "layers", DiffIDs: []string{plain}}, History: []past{{CreatedBy: "host/serve/deploy/image"}}}))
	m := l.blob(manifestType, encoded(manifest{SchemaVersion: 2, MediaType: manifestType, Config: &c, Layers: []descriptor{l.blob(layerType, packed)}}))
	m.Platform, m.Annotations = &on, map[string]string{"org.opencontainers.image.ref.name": name}
	return manifest{SchemaVersion: 2, MediaType: indexType, Manifests: []descriptor{m}}
}
