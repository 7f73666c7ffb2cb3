package oip

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/serve/inference"
)

// health is grpc.health.v1: of the server under "" and the service's name, and of
// models under theirs.
type health struct {
	healthpb.UnimplementedHealthServer
	service *service
}

// state is that of a service. ok says that it is known.
func (h *health) state(name string) (s healthpb.HealthCheckResponse_ServingStatus, ok bool) {
	ready := false
	if name == "" || name == inference.Service {
		ready = h.service.ready()
	} else {
		var err error
		if ready, err = h.service.modelReady(name, ""); err != nil {
			return healthpb.HealthCheckResponse_SERVICE_UNKNOWN, false
		}
	}
	if ready {
		return healthpb.HealthCheckResponse_SERVING, true
	}
	return healthpb.HealthCheckResponse_NOT_SERVING, true
}

// Check implements healthpb.HealthServer.
func (h *health) Check(_ context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	s, ok := h.state(r.Service)
	if !ok {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return &healthpb.HealthCheckResponse{Status: s}, nil
}

// List implements healthpb.HealthServer.
func (h *health) List(context.Context, *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	out := &healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{}}
	names := []string{"", inference.Service}
	for _, m := range h.service.list() {
		names = append(names, m.Name)
	}
	for _, name := range names {
		if s, ok := h.state(name); ok {
			out.Statuses[name] = &healthpb.HealthCheckResponse{Status: s}
		}
	}
	return out, nil
}

// watchEvery is how often a state that is watched is looked at.
const watchEvery = 500 * time.Millisecond

// Watch implements healthpb.HealthServer: the state, and each other that follows.
func (h *health) Watch(r *healthpb.HealthCheckRequest, stream healthpb.Health_WatchServer) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	last, leaving := healthpb.HealthCheckResponse_UNKNOWN, h.service.Leaving
	for {
		if s, _ := h.state(r.Service); s != last {
			last = s
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: s}); err != nil {
				return err
			}
		}
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-leaving: // told at once, and only once
			leaving = nil
		case <-h.service.Draining:
			if last != healthpb.HealthCheckResponse_NOT_SERVING {
				_ = stream.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}) // who has gone needs no last word
			}
			return status.Error(codes.Unavailable, "the server is stopping")
		case <-tick.C:
		}
	}
}
