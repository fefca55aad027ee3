package ioprobe

import (
	"context"
	"io"
)

func Main(ctx context.Context, args []string, out io.Writer) error { return nil }
