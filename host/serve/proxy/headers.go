package proxy

import (
	"net/http"
	"strings"

	"google.golang.org/grpc/metadata"
)

// only is the value of a header; several, of which each reader might take another, are
// one that no reader takes.
func only(h http.Header, name string) string { return strings.Join(h.Values(name), ",") }

// readable are of the codings that a client accepts those that can be undone here, as it has written them.
func readable(accepted []string) string {
	var out []string
	for _, part := range strings.Split(strings.Join(accepted, ","), ",") {
		coding, _, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip", "deflate", "identity":
			out = append(out, strings.TrimSpace(part))
		}
	}
	return strings.Join(out, ", ")
}

// ofCall are the headers of an answer over gRPC, without what belongs to its connection.
func ofCall(head metadata.MD) metadata.MD {
	head.Delete("grpc-accept-encoding")
	return head
}

// seen is the value of a header as the model server gets it: "" for one that Connection names, which ends here.
func seen(h http.Header, name string) string {
	for part := range strings.SplitSeq(only(h, "Connection"), ",") {
		if strings.EqualFold(strings.TrimSpace(part), name) {
			return ""
		}
	}
	return only(h, name)
}
