package oip

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// changeModel loads or unloads a model.
func (s *service) changeModel(ctx context.Context, name string, load bool) error {
	if err := s.admin(); err != nil {
		return err
	}
	change := s.models.Unload
	if load {
		change = s.models.Load
	}
	err := change(ctx, name)
	var missing *judge.NotFoundError
	switch {
	case err == nil, errors.As(err, &missing), ctx.Err() != nil:
		return err
	}
	return &fault{status: http.StatusBadRequest, code: codes.FailedPrecondition, message: wire.Text(err.Error(), 2000)}
}
